#![no_main]

ekiben_fuzz::reader!(Catboost);
