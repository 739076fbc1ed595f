//! Enums whose variants are numbered in an artifact.

/// Declares an enum with the code of each variant, and the conversions.
macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $code,)* }

        impl $name {
            /// Code in an artifact.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The variant with this code.
            pub fn from_code(code: u8) -> Option<Self> {
                [$(Self::$variant),*].into_iter().find(|variant| variant.code() == code)
            }
        }
    };
}

pub(super) use coded;
