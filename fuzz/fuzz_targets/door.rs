#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_bridge::fuzzing::operations(data));
