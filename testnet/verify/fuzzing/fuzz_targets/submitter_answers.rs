#![no_main]

use causeway_fuzzing as _;

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz_properties::submitter_answers::check(data));
