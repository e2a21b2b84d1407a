//! Prints the time to parse, and to parse and write anew, one typical envelope of about 200 bytes.

use std::{hint::black_box, time::Instant};

use sallyport_mcp::envelope::{Limits, parse, parse_one};

const ENVELOPE: &[u8] = br#"{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"get_weather","arguments":{"location":"Seattle, WA","units":"metric","days":3},"_meta":{"progressToken":"p-17","traceparent":"00-0af7651916cd43dd"}}}"#;
const ROUNDS: u32 = 200_000;

fn nanoseconds(mut work: impl FnMut()) -> f64 {
    for _ in 0..ROUNDS / 10 {
        work();
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        work();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

fn main() {
    let parsing = nanoseconds(|| {
        black_box(parse(black_box(ENVELOPE), Limits::default()).is_ok());
    });
    let both = nanoseconds(|| {
        black_box(parse_one(black_box(ENVELOPE), 64).map(|message| message.to_vec()).is_ok());
    });
    let build = if cfg!(debug_assertions) { "dev" } else { "release" };
    println!("{} bytes, {build} build: parse {parsing:.0} ns, parse and write {both:.0} ns", ENVELOPE.len());
}
