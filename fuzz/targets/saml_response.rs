//! libFuzzer's entry: a response is only believed as far as it was signed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallyport_fuzz::saml_response(bytes));
