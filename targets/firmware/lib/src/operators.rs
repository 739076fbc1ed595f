//! Operators as C symbols, so that a firmware links those that its artifact needs and no others.

use ekiben_runtime::ops::{KernelEntry, KernelSet};

/// A list of operators, in rising order of their tags.
#[repr(C)]
#[derive(Debug)]
pub struct KernelList {
    /// The operators: addresses of `ekiben_op_…` symbols.
    pub operators: *const &'static KernelEntry,
    /// Number of operators.
    pub count: usize,
}

// SAFETY: the pointer is to constant data, never written.
unsafe impl Sync for KernelList {}

impl KernelList {
    /// The set, or `None` when the list is empty or out of order.
    ///
    /// # Safety
    /// `operators` points to `count` addresses of `ekiben_op_…` symbols that stay as they are.
    pub(crate) unsafe fn to_set(&self) -> Option<KernelSet> {
        if self.operators.is_null() || !self.operators.is_aligned() {
            return None;
        }
        // SAFETY: the caller's contract, and the pointer is neither null nor misaligned.
        KernelSet::try_new(unsafe { core::slice::from_raw_parts(self.operators, self.count) })
    }
}

/// Every operator that this library has.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the name is C's")]
pub static ekiben_all_kernels: KernelList = {
    const ALL: &[&KernelEntry] = KernelSet::ALL.entries();
    KernelList { operators: ALL.as_ptr(), count: ALL.len() }
};

/// Gives every operator the symbol `ekiben_op_` and the name of its module.
macro_rules! export_operators {
    ($($module:ident::$name:ident = $tag:literal;)*) => {$(
        const _: () = {
            #[unsafe(export_name = concat!("ekiben_op_", stringify!($module)))]
            static OPERATOR: KernelEntry = KernelEntry::of::<ekiben_runtime::ops::$module::$name>();
        };
    )*};
}

ekiben_runtime::for_each_operator!(export_operators);
