//! libFuzzer's entry: a token has one spelling.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallyport_fuzz::jws_compact(bytes));
