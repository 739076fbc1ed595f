#![no_main]

ekiben_fuzz::reader!(Keras);
