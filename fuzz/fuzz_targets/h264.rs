#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_rtp::fuzzing::h264(data));
