//! libFuzzer's entry: our JSON-RPC parser and serde_json see one value.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallyport_fuzz::mcp_envelope(bytes));
