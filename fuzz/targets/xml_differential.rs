//! libFuzzer's entry: our strict XML reader and another parser see one tree.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallyport_fuzz::xml_differential(bytes));
