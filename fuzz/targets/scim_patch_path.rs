//! libFuzzer's entry: a PATCH path prints as it reads.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallyport_fuzz::scim_patch_path(bytes));
