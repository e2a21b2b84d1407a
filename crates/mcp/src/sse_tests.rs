use proptest::prelude::*;

use super::*;

fn decode(pieces: &[&[u8]]) -> Vec<Event> {
    let mut decoder = Decoder::new(1 << 16);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece).expect("well-formed");
        events.extend(std::iter::from_fn(|| decoder.next_event()));
    }
    events
}

#[test]
fn the_standards_examples_are_read() {
    assert_eq!(decode(&[b"data: YHOO\ndata: +2\ndata: 10\n\n"]), [Event::message("YHOO\n+2\n10")]);
    let blocks =
        decode(&[b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"]);
    assert_eq!(blocks.len(), 3);
    assert_eq!(
        (blocks[0].id.as_deref(), blocks[1].id.as_deref(), blocks[2].id.as_deref()),
        (Some("1"), Some(""), None)
    );
    assert_eq!(blocks[2].data.as_deref(), Some(" third event"));
    assert_eq!(decode(&[b"data\n\ndata\ndata\n\ndata:"]), [Event::message(""), Event::message("\n")]);
}

#[test]
fn priming_and_retry_events_are_seen() {
    assert_eq!(decode(&[b"id: 7/1\nretry: 500\ndata: \n\n"]), [Event::priming("7/1", Some(500))]);
    let retry = decode(&[b"retry: 3000\n\n"]);
    assert_eq!(retry, [Event { retry: Some(3000), ..Event::default() }]);
    assert!(!retry[0].has_data());
    assert_eq!(decode(&[b"retry: 3s\nretry: \nretry: -1\n\n"]), []);
    assert_eq!(decode(&[b"id: a\0b\n\n"]), []);
}

#[test]
fn line_ends_marks_and_comments() {
    let expected = [Event { event: Some("message".into()), ..Event::message("{}") }];
    for text in [
        "event: message\ndata: {}\n\n",
        "event: message\r\ndata: {}\r\n\r\n",
        "event: message\rdata: {}\r\r",
        "\u{feff}event: message\n: ping\ndata: {}\nunknown: x\n\n",
        ":\r\n:\r\nevent:message\r\ndata:{}\r\n\r\n",
    ] {
        assert_eq!(decode(&[text.as_bytes()]), expected, "{text:?}");
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(decode(&bytes), expected, "{text:?} in single bytes");
    }
}

#[test]
fn a_cut_event_is_no_event() {
    let mut decoder = Decoder::new(100);
    decoder.push(b"data: {}\n").expect("well-formed");
    assert_eq!((decoder.next_event(), decoder.is_mid_event()), (None, true));
    decoder.push(b"\n").expect("well-formed");
    assert_eq!((decoder.next_event(), decoder.is_mid_event()), (Some(Event::message("{}")), false));
}

#[test]
fn events_are_limited_and_streams_are_not() {
    let mut decoder = Decoder::new(16);
    for _ in 0..100 {
        decoder.push(b"data: 123456789\n\n").expect("16 bytes with the line end");
        decoder.push(b":\r\n").expect("comments do not count");
        assert!(decoder.next_event().is_some());
    }
    decoder.push(b"data: ok\n\n").expect("small");
    assert_eq!(decoder.push(b"data: 12345678901"), Err(Error::EventTooLarge { limit: 16 }));
    assert_eq!(decoder.next_event(), Some(Event::message("ok")), "what was whole before is still there");
    assert_eq!(decoder.push(b"\n\n"), Err(Error::EventTooLarge { limit: 16 }));
    let mut lines = Decoder::new(16);
    assert!(lines.push(b"data:1\ndata:2\ndata:3\n").is_err(), "many short lines count together");
    assert_eq!(Decoder::new(16).push(b"data: \xff\n"), Err(Error::EventNotUtf8));
}

#[test]
fn fields_cannot_be_injected() {
    for bad in ["a\nb", "a\rb", "a\0b"] {
        assert!(Event { id: Some(bad.into()), ..Event::default() }.encode().is_err());
        assert!(Event { event: Some(bad.into()), ..Event::default() }.encode().is_err());
    }
    let event = Event::message("a\nid: 9\r\n\r\nevent: evil");
    assert_eq!(
        decode(&[&event.encode().expect("data may hold anything")]),
        [Event::message("a\nid: 9\n\nevent: evil")]
    );
}

fn field() -> impl Strategy<Value = String> {
    "[^\r\n\0]{0,12}"
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new(64);
        let _ = decoder.push(&bytes);
        while decoder.next_event().is_some() {}
    }

    #[test]
    fn splits_do_not_matter(text in "(data|id|event|retry|:|: |x|1|\r|\n|\r\n|\u{feff}|é|\0){0,60}", cuts in prop::collection::vec(0_usize..200, 0..8)) {
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode(&pieces), decode(&[bytes]));
    }

    #[test]
    fn events_survive_encoding(
        id in prop::option::of(field()), event in prop::option::of(field()), data in prop::option::of("[^\r]{0,40}"), retry in any::<Option<u64>>()
    ) {
        let event = Event { id, event, data, retry };
        let expected: Vec<Event> = std::iter::once(event.clone()).filter(|e| *e != Event::default()).collect();
        prop_assert_eq!(decode(&[&event.encode().expect("no breaks in fields")]), expected);
    }
}
