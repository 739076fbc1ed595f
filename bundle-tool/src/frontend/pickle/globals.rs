//! The globals that a pickle may name.

use std::collections::HashMap;

/// What the reader makes of a global that is called or instantiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An object with arguments and state, and nothing more.
    Data,
    /// As `Data`, for a global that is not on the allow-list; the file is refused in the end.
    Refused,
    /// An array class, named where arrays are built.
    ArrayClass,
    /// Makes an empty array, which a BUILD then fills.
    Reconstruct,
    /// Makes an array from bytes, element type, shape and order.
    FromBuffer,
    /// Makes a numpy scalar from element type and bytes.
    Scalar,
    /// Makes an element type.
    Dtype,
    /// Turns text into bytes: how protocol 2 spells `bytes`.
    Encode,
    /// Makes an instance of the class that is its first argument.
    Reconstructor,
    /// A `dict` with another name.
    Dict,
    /// A `set` or `frozenset`.
    Set,
    /// `bytes` or `bytearray`.
    Bytes,
    /// joblib's announcement of array data that follows in the file.
    ArrayWrapper,
}

/// The globals of Python, numpy, scipy, pandas and joblib that estimators of any library are made of. Renamed modules are
/// listed under each of their names.
const PLUMBING: &[(&str, Role)] = &[
    ("_codecs.encode", Role::Encode),
    ("copyreg._reconstructor", Role::Reconstructor),
    ("copy_reg._reconstructor", Role::Reconstructor),
    ("collections.OrderedDict", Role::Dict),
    ("collections.defaultdict", Role::Dict),
    ("builtins.set", Role::Set),
    ("builtins.frozenset", Role::Set),
    ("__builtin__.set", Role::Set),
    ("__builtin__.frozenset", Role::Set),
    ("builtins.bytes", Role::Bytes),
    ("builtins.bytearray", Role::Bytes),
    ("__builtin__.bytes", Role::Bytes),
    ("__builtin__.bytearray", Role::Bytes),
    ("joblib.numpy_pickle.NumpyArrayWrapper", Role::ArrayWrapper),
    ("sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper", Role::ArrayWrapper),
    ("numpy.ndarray", Role::ArrayClass),
    ("numpy.memmap", Role::ArrayClass),
    ("numpy.core.memmap.memmap", Role::ArrayClass),
    ("numpy.dtype", Role::Dtype),
    ("numpy.core.multiarray._reconstruct", Role::Reconstruct),
    ("numpy._core.multiarray._reconstruct", Role::Reconstruct),
    ("numpy.core.numeric._frombuffer", Role::FromBuffer),
    ("numpy._core.numeric._frombuffer", Role::FromBuffer),
    ("numpy.core.multiarray.scalar", Role::Scalar),
    ("numpy._core.multiarray.scalar", Role::Scalar),
];

/// More of them, carried as plain data: types that serve as values, sparse matrices, index labels, random states.
const CARRIED: &[&str] = &[
    "builtins.bool",
    "builtins.float",
    "builtins.int",
    "builtins.object",
    "builtins.slice",
    "builtins.str",
    "__builtin__.bool",
    "__builtin__.float",
    "__builtin__.int",
    "__builtin__.object",
    "__builtin__.slice",
    "__builtin__.str",
    "__builtin__.unicode",
    "numpy.bool",
    "numpy.bool_",
    "numpy.float16",
    "numpy.float32",
    "numpy.float64",
    "numpy.int8",
    "numpy.int16",
    "numpy.int32",
    "numpy.int64",
    "numpy.object_",
    "numpy.str_",
    "numpy.uint8",
    "numpy.uint16",
    "numpy.uint32",
    "numpy.uint64",
    "numpy.random._mt19937.MT19937",
    "numpy.random._pcg64.PCG64",
    "numpy.random._philox.Philox",
    "numpy.random._sfc64.SFC64",
    "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random.__RandomState_ctor",
    "numpy.random.bit_generator.SeedSequence",
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
    "pandas.core.indexes.base.Index",
    "pandas.core.indexes.base._new_Index",
    "pandas.core.indexes.range.RangeIndex",
    "scipy.sparse.csr.csr_matrix",
    "scipy.sparse._csr.csr_matrix",
    "scipy.sparse._csr.csr_array",
    "scipy.sparse.csc.csc_matrix",
    "scipy.sparse._csc.csc_matrix",
    "scipy.sparse._csc.csc_array",
];

/// The exact names of the globals that a pickle may use; a file that names anything else is refused. A name on the list is never imported or
/// called either: it only says what the data is.
#[derive(Debug, Clone)]
pub struct AllowList {
    roles: HashMap<&'static str, Role>,
}

impl AllowList {
    /// The globals of Python, numpy, scipy, pandas and joblib that carry data. No estimator is among them.
    pub fn plumbing() -> AllowList {
        let mut roles: HashMap<_, _> = PLUMBING.iter().copied().collect();
        roles.extend(CARRIED.iter().map(|&name| (name, Role::Data)));
        AllowList { roles }
    }

    /// This list and `names`: each a module path and a qualified name, joined by a dot, as in
    /// `sklearn.tree._classes.DecisionTreeClassifier`.
    #[must_use]
    pub fn with(mut self, names: &[&'static str]) -> AllowList {
        for &name in names {
            self.roles.entry(name).or_insert(Role::Data);
        }
        self
    }

    /// The listed name equal to `name`, with its role.
    pub(super) fn role(&self, name: &str) -> Option<(&'static str, Role)> {
        self.roles.get_key_value(name).map(|(&n, &role)| (n, role))
    }
}
