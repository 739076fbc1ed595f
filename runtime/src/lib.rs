#![cfg_attr(not(feature = "std"), no_std)]
//! Runs Ekiben artifacts.
