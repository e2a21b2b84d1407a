//! Lines of bounded length from a pipe.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};

use crate::Error;

/// Reads `\n`-ended lines. After [`Error::LineTooLong`] the rest of the stream is worth nothing.
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
    partial: BytesMut,
    limit: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of at most `limit` bytes, not counting the line end.
    pub fn new(reader: R, limit: usize) -> Self {
        Self { reader: BufReader::with_capacity(16 * 1024, reader), partial: BytesMut::new(), limit }
    }

    /// The next line without its `\n` (and `\r`); `None` at the end. A last line without `\n` counts.
    /// Safe to cancel.
    ///
    /// # Errors
    /// [`Error::LineTooLong`] and [`Error::Pipe`].
    pub async fn next_line(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match take_line(&mut self.reader, &mut self.partial, self.limit).await? {
                Taken::Part => {}
                Taken::Line => return Ok(Some(self.finish())),
                Taken::End if self.partial.is_empty() => return Ok(None),
                Taken::End => return Ok(Some(self.finish())),
            }
        }
    }

    fn finish(&mut self) -> Bytes {
        if self.partial.last() == Some(&b'\r') {
            self.partial.truncate(self.partial.len() - 1);
        }
        std::mem::take(&mut self.partial).freeze()
    }
}

enum Taken {
    Part,
    Line,
    End,
}

async fn take_line<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    partial: &mut BytesMut,
    limit: usize,
) -> Result<Taken, Error> {
    let available = reader.fill_buf().await.map_err(Error::Pipe)?;
    if available.is_empty() {
        return Ok(Taken::End);
    }
    let end = available.iter().position(|byte| *byte == b'\n');
    let part = &available[..end.unwrap_or(available.len())];
    if partial.len() + part.len() > limit {
        return Err(Error::LineTooLong { limit });
    }
    partial.extend_from_slice(part);
    let used = part.len() + usize::from(end.is_some());
    reader.consume(used);
    Ok(if end.is_some() { Taken::Line } else { Taken::Part })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn all(input: &[u8], limit: usize) -> Result<Vec<Bytes>, Error> {
        let mut lines = Lines::new(input, limit);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().await? {
            found.push(line);
        }
        Ok(found)
    }

    #[tokio::test]
    async fn lines_end_at_newlines_and_at_the_end() {
        assert_eq!(all(b"a\r\nb\n\nc", 9).await.unwrap(), ["a", "b", "", "c"]);
        assert_eq!(all(b"", 9).await.unwrap(), Vec::<Bytes>::new());
    }

    #[tokio::test]
    async fn a_line_at_the_limit_passes_and_one_over_does_not() {
        assert_eq!(all(b"1234\n", 4).await.unwrap(), ["1234"]);
        assert!(matches!(all(b"12345\n", 4).await, Err(Error::LineTooLong { limit: 4 })));
        assert!(matches!(all(&[b'x'; 100_000], 4).await, Err(Error::LineTooLong { .. })));
    }

    proptest! {
        #[test]
        fn lines_are_what_a_split_gives(input in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let found = runtime.block_on(all(&input, 1000)).unwrap();
            let mut wanted: Vec<&[u8]> = input.split(|b| *b == b'\n').collect();
            if wanted.last() == Some(&&b""[..]) {
                wanted.pop();
            }
            let wanted: Vec<&[u8]> = wanted.into_iter().map(|l| l.strip_suffix(b"\r").unwrap_or(l)).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
