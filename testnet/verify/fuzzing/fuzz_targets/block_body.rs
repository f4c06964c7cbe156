#![no_main]

use causeway_fuzzing as _;

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz_properties::block_body::check(data));
