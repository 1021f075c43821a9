#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| { althing_focus::fuzzing::operations(data); });
