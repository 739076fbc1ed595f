//! The service's modules, and what an expression of names and dots means in them.

use std::collections::{HashMap, HashSet};

use ruff_python_ast::visitor::{Visitor, walk_stmt};
use ruff_python_ast::{Expr, Stmt, StmtClassDef, StmtFunctionDef};

use super::error::ServiceError;
use super::scope::{Binding, ImportPath, Scope};
use super::source::Source;
use crate::bundle::Bundle;

/// Modules that one service may import from its own sources.
const MAX_MODULES: usize = 256;
/// Steps from a name to its meaning, through modules that import from each other.
const MAX_STEPS: usize = 32;

/// The parsed sources of a service: the entry first, then whatever it imports of its own.
#[derive(Debug)]
pub struct Program {
    sources: Vec<Source>,
    /// Names of all Python files of the bento, imported or not.
    files: HashSet<String>,
}

impl Program {
    /// Parses the bento's entry file and the bento's own modules that it imports.
    ///
    /// # Errors
    /// A source that cannot be read or parsed; a bento without a service.
    pub fn load(bundle: &Bundle) -> Result<Program, ServiceError> {
        let Some(entry) = &bundle.entry else {
            let problem = "it has no service; its model is used as it is".to_owned();
            return Err(ServiceError::File { file: bundle.label().to_owned(), problem });
        };
        let files = bundle.sources.iter().cloned().collect();
        Program::gather(&entry.file, files, |name| Ok((bundle.describe_source(name), bundle.read_source(name)?)))
    }

    /// A program of one file that holds no code, so that values of it have places.
    pub(super) fn of_text(label: &str, text: &str) -> Result<Program, ServiceError> {
        Ok(Program { sources: vec![Source::without_code(label, text)?], files: HashSet::new() })
    }

    /// Parses `entry` and all modules it imports, with `read` giving a file's label and text.
    fn gather(
        entry: &str,
        files: HashSet<String>,
        read: impl Fn(&str) -> Result<(String, String), ServiceError>,
    ) -> Result<Program, ServiceError> {
        let mut program = Program { sources: Vec::new(), files };
        let mut pending = vec![entry.to_owned()];
        let mut seen: HashSet<String> = pending.iter().cloned().collect();
        while let Some(name) = pending.pop() {
            let (label, text) = read(&name)?;
            if program.sources.len() >= MAX_MODULES {
                let problem = format!("the service imports more than {MAX_MODULES} modules of its own");
                return Err(ServiceError::File { file: label, problem });
            }
            let source = Source::parse(&name, &label, text)?;
            let mut imports = Imports(Vec::new());
            imports.visit_body(&source.syntax().body);
            for file in imports.0.iter().flat_map(|path| program.files_of(&name, path)) {
                if seen.insert(file.clone()) {
                    pending.push(file);
                }
            }
            program.sources.push(source);
        }
        Ok(program)
    }

    /// The bento's files that an import in the file `from` may mean: the module, and a submodule of the imported name.
    fn files_of(&self, from: &str, path: &ImportPath) -> Vec<String> {
        let Some(module) = absolute(from, path) else {
            return Vec::new();
        };
        let submodule = path.name.as_ref().map(|name| join(&module, name));
        [Some(module), submodule].into_iter().flatten().filter_map(|module| self.file_of(&module)).collect()
    }

    /// The bento's file of an absolute module path with slashes.
    fn file_of(&self, module: &str) -> Option<String> {
        let candidates = [format!("{module}.py"), join(module, "__init__.py")];
        candidates.into_iter().find(|file| self.files.contains(file))
    }
}

/// The module that `path` names in the file `from`, with slashes; `None` if its dots lead above the sources.
fn absolute(from: &str, path: &ImportPath) -> Option<String> {
    let module = path.module.replace('.', "/");
    if path.level == 0 {
        return Some(module);
    }
    let mut folder = from;
    for _ in 0..path.level {
        if folder.is_empty() {
            return None;
        }
        folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    Some(if module.is_empty() { folder.to_owned() } else { join(folder, &module) })
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Collects the imports of a module, wherever they are in it.
struct Imports(Vec<ImportPath>);

impl<'a> Visitor<'a> for Imports {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Import(import) => {
                for alias in &import.names {
                    // `import a.b.c` runs `a`, `a.b` and `a.b.c`.
                    let name = alias.name.as_str();
                    let ends = name.match_indices('.').map(|(index, _)| index).chain([name.len()]);
                    self.0.extend(ends.map(|end| ImportPath { level: 0, module: name[..end].to_owned(), name: None }));
                }
            }
            Stmt::ImportFrom(import) => {
                let module = import.module.as_ref().map_or(String::new(), |module| module.to_string());
                self.0.extend(import.names.iter().map(|alias| ImportPath {
                    level: import.level,
                    module: module.clone(),
                    name: Some(alias.name.to_string()),
                }));
            }
            other => walk_stmt(self, other),
        }
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

/// The index of a module in its program.
pub(super) type ModuleId = usize;

/// What a name or a chain of attributes means.
#[derive(Debug, Clone)]
pub(super) enum Meaning<'a> {
    /// Something outside of the bento, by its full path: `numpy.float32`, `bentoml.api`, `builtins.len`.
    Outside(String),
    /// One of the bento's modules.
    Module(ModuleId),
    /// A class of the bento.
    Class(ModuleId, &'a StmtClassDef),
    /// A function of the bento.
    Function(ModuleId, &'a StmtFunctionDef),
    /// A value at the top of a module of the bento.
    Value(ModuleId, &'a Expr),
}

/// The scopes of a program.
#[derive(Debug)]
pub(super) struct Modules<'a> {
    program: &'a Program,
    scopes: Vec<Scope<'a>>,
    by_file: HashMap<&'a str, ModuleId>,
}

impl<'a> Modules<'a> {
    pub(super) fn of(program: &'a Program) -> Modules<'a> {
        let scopes = program.sources.iter().map(|source| Scope::of(&source.syntax().body)).collect();
        let by_file = program.sources.iter().enumerate().map(|(id, source)| (source.name.as_str(), id)).collect();
        Modules { program, scopes, by_file }
    }

    /// The entry module.
    pub(super) const ENTRY: ModuleId = 0;

    /// The source of a module.
    pub(super) fn source(&self, module: ModuleId) -> &'a Source {
        &self.program.sources[module]
    }

    /// What a name or a chain of attributes means; `None` for any other expression, and for attributes of classes,
    /// functions and values.
    ///
    /// # Errors
    /// A name that is not defined, or has no single meaning.
    pub(super) fn resolve(&self, module: ModuleId, expression: &Expr) -> Result<Option<Meaning<'a>>, ServiceError> {
        let mut attributes = Vec::new();
        let mut root = expression;
        while let Expr::Attribute(attribute) = root {
            attributes.push(attribute.attr.as_str());
            root = &attribute.value;
        }
        let Expr::Name(name) = root else {
            return Ok(None);
        };
        let fail = |problem: String| self.source(module).error(root, problem);
        let mut meaning = self.name(module, name.id.as_str(), 0).map_err(fail)?;
        for attribute in attributes.into_iter().rev() {
            meaning = match meaning {
                Meaning::Outside(path) => Meaning::Outside(format!("{path}.{attribute}")),
                Meaning::Module(inner) => self.member(inner, attribute, 0).map_err(fail)?,
                Meaning::Class(..) | Meaning::Function(..) | Meaning::Value(..) => return Ok(None),
            };
        }
        Ok(Some(meaning))
    }

    /// The full path of something outside of the bento; `None` if the expression is anything else.
    pub(super) fn path(&self, module: ModuleId, expression: &Expr) -> Result<Option<String>, ServiceError> {
        Ok(match self.resolve(module, expression)? {
            Some(Meaning::Outside(path)) => Some(path),
            _ => None,
        })
    }

    /// What a name means in a module.
    ///
    /// # Errors
    /// Says why a name is not defined, or has no single meaning.
    pub(super) fn named(&self, module: ModuleId, name: &str) -> Result<Meaning<'a>, String> {
        self.name(module, name, 0)
    }

    /// The names that an import inside of a function of `module` binds, and what they mean.
    ///
    /// # Errors
    /// `from … import *`, and names that the bento's own modules do not define.
    pub(super) fn local_imports(
        &self,
        module: ModuleId,
        statement: &'a Stmt,
    ) -> Result<Vec<(&'a str, Meaning<'a>)>, ServiceError> {
        let scope = Scope::of(std::slice::from_ref(statement));
        if let Some((_, range)) = scope.stars.first() {
            return Err(self.source(module).error(range, "`import *` inside of a function is not read"));
        }
        let mut bound = Vec::new();
        for (name, path) in scope.imports() {
            let meaning = self.imported(module, path, 0);
            bound.push((name, meaning.map_err(|problem| self.source(module).error(statement, problem))?));
        }
        Ok(bound)
    }

    /// The meaning of a name at the top of a module, builtins included.
    fn name(&self, module: ModuleId, name: &str, steps: usize) -> Result<Meaning<'a>, String> {
        match self.defined(module, name, steps)? {
            Some(meaning) => Ok(meaning),
            None if BUILTINS.contains(&name) => Ok(Meaning::Outside(format!("builtins.{name}"))),
            None => Err(match self.scopes[module].stars.first() {
                Some((path, _)) => format!(
                    "`{name}` is not defined, unless `from {} import *` brings it. Import it by its name",
                    path.module
                ),
                None => format!("`{name}` is not defined"),
            }),
        }
    }

    /// The meaning that a module itself gives to `name`.
    fn defined(&self, module: ModuleId, name: &str, steps: usize) -> Result<Option<Meaning<'a>>, String> {
        if steps > MAX_STEPS {
            return Err(format!("`{name}` is imported through more than {MAX_STEPS} modules"));
        }
        let scope = &self.scopes[module];
        Ok(Some(match scope.get(name) {
            Some(Binding::Import(path)) => return self.imported(module, path, steps).map(Some),
            Some(Binding::Class(class)) => Meaning::Class(module, class),
            Some(Binding::Function(function)) => Meaning::Function(module, function),
            Some(Binding::Value(value)) => Meaning::Value(module, value),
            Some(Binding::Unclear(why)) => {
                return Err(format!("what `{name}` is cannot be told: {why}"));
            }
            None => return self.starred(module, name, steps),
        }))
    }

    /// The meaning of `name` through `from … import *` of the bento's own modules.
    fn starred(&self, module: ModuleId, name: &str, steps: usize) -> Result<Option<Meaning<'a>>, String> {
        if name.starts_with('_') {
            return Ok(None);
        }
        let mut reached = vec![module];
        let mut next = 0;
        while let Some(&from) = reached.get(next) {
            next += 1;
            for (path, _) in &self.scopes[from].stars {
                let inner = absolute(&self.source(from).name, path).and_then(|path| self.local(&path));
                reached.extend(inner.filter(|inner| !reached.contains(inner)));
            }
        }
        let mut definers = reached.into_iter().skip(1).filter(|&inner| self.scopes[inner].get(name).is_some());
        match (definers.next(), definers.next()) {
            (None, _) => Ok(None),
            (Some(inner), None) => self.defined(inner, name, steps + 1),
            (Some(_), Some(_)) => Err(format!("`{name}` comes from more than one `import *`. Import it by its name")),
        }
    }

    fn imported(&self, module: ModuleId, path: &ImportPath, steps: usize) -> Result<Meaning<'a>, String> {
        let target = absolute(&self.source(module).name, path);
        let inner = target.as_ref().and_then(|target| self.local(target));
        match (&path.name, inner, target) {
            (None, Some(inner), _) => Ok(Meaning::Module(inner)),
            (None, None, _) => Ok(Meaning::Outside(path.module.clone())),
            (Some(name), Some(inner), _) => self.member(inner, name, steps + 1),
            (Some(name), None, Some(target)) => match self.local(&join(&target, name)) {
                Some(inner) => Ok(Meaning::Module(inner)),
                None if path.level == 0 => Ok(Meaning::Outside(format!("{}.{name}", path.module))),
                None => Err(format!("`{name}` comes from {target:?}, which is not in the bento")),
            },
            (Some(name), None, None) => Err(format!("`{name}` is imported from above the service's sources")),
        }
    }

    /// An attribute of one of the bento's modules: a name it defines, or a submodule.
    pub(super) fn member(&self, module: ModuleId, name: &str, steps: usize) -> Result<Meaning<'a>, String> {
        if let Some(meaning) = self.defined(module, name, steps)? {
            return Ok(meaning);
        }
        let file = &self.source(module).name;
        let submodule = file.strip_suffix("__init__.py").map(|folder| format!("{folder}{name}"));
        match submodule.and_then(|submodule| self.local(&submodule)) {
            Some(inner) => Ok(Meaning::Module(inner)),
            None => Err(format!("{file} does not define `{name}`")),
        }
    }

    /// The loaded module of a path with slashes.
    fn local(&self, module: &str) -> Option<ModuleId> {
        self.by_file.get(self.program.file_of(module)?.as_str()).copied()
    }
}

/// Python's builtin names that services use; what they mean is for the evaluator to say.
const BUILTINS: &[&str] = &[
    "abs",
    "all",
    "any",
    "bool",
    "bytes",
    "dict",
    "enumerate",
    "eval",
    "exec",
    "filter",
    "float",
    "frozenset",
    "getattr",
    "hasattr",
    "int",
    "isinstance",
    "iter",
    "len",
    "list",
    "map",
    "max",
    "min",
    "next",
    "object",
    "open",
    "print",
    "property",
    "range",
    "reversed",
    "round",
    "set",
    "slice",
    "sorted",
    "staticmethod",
    "classmethod",
    "str",
    "sum",
    "super",
    "tuple",
    "type",
    "zip",
];

#[cfg(test)]
pub(super) fn program_of(files: &[(&str, &str)]) -> Result<Program, ServiceError> {
    let names = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    Program::gather(files[0].0, names, |name| {
        let text = files.iter().find(|(other, _)| *other == name).map(|(_, text)| (*text).to_owned());
        Ok((name.to_owned(), text.unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::{Meaning, Modules, program_of};

    /// What the last expression statement of the first file means.
    fn meaning(files: &[(&str, &str)]) -> String {
        let program = match program_of(files) {
            Ok(program) => program,
            Err(error) => return error.to_string(),
        };
        let modules = Modules::of(&program);
        let body = &modules.source(Modules::ENTRY).syntax().body;
        let expression = &body.last().unwrap().as_expr_stmt().unwrap().value;
        match modules.resolve(Modules::ENTRY, expression) {
            Ok(Some(Meaning::Outside(path))) => path,
            Ok(Some(Meaning::Module(id))) => format!("module {}", modules.source(id).name),
            Ok(Some(Meaning::Class(id, class))) => {
                format!("class {} in {}", class.name, modules.source(id).name)
            }
            Ok(Some(Meaning::Function(id, function))) => {
                format!("function {} in {}", function.name, modules.source(id).name)
            }
            Ok(Some(Meaning::Value(id, value))) => {
                format!("value {} in {}", if value.is_list_expr() { "list" } else { "other" }, modules.source(id).name)
            }
            Ok(None) => "nothing static".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn outside_names() {
        assert_eq!(meaning(&[("s.py", "import numpy as np\nnp.random.rand")]), "numpy.random.rand");
        assert_eq!(meaning(&[("s.py", "from bentoml import api as a\na")]), "bentoml.api");
        assert_eq!(meaning(&[("s.py", "len")]), "builtins.len");
        assert_eq!(meaning(&[("s.py", "import a.b.c\na.b.c.d")]), "a.b.c.d");
        assert_eq!(meaning(&[("s.py", "f().x")]), "nothing static");
        let error = meaning(&[("s.py", "x = 1\nfeautres")]);
        assert!(error.starts_with("s.py:2:1: `feautres` is not defined"), "{error}");
        let error = meaning(&[("s.py", "from numpy import *\nzeros")]);
        assert!(error.contains("from numpy import *"), "{error}");
    }

    #[test]
    fn names_of_other_files() {
        let utilities = ("labels.py", "NAMES = ['a']\ndef f(): pass\nfrom pkg import g\n");
        let package = ("pkg/__init__.py", "from .inner import g\n");
        let inner = ("pkg/inner.py", "from .. import top\ndef g(): pass\n");
        let all = |text| meaning(&[("s.py", text), utilities, package, inner]);
        assert_eq!(all("from labels import NAMES\nNAMES"), "value list in labels.py");
        assert_eq!(all("import labels as l\nl.f"), "function f in labels.py");
        assert_eq!(all("from labels import g\ng"), "function g in pkg/inner.py");
        assert_eq!(all("from labels import *\nf"), "function f in labels.py");
        assert!(all("from labels import *\nfrom pkg.inner import *\ng").contains("more than one `import *`"));
        assert_eq!(all("import pkg.inner\npkg.inner.g"), "function g in pkg/inner.py");
        assert_eq!(all("from pkg import inner\ninner"), "module pkg/inner.py");
        assert_eq!(all("from . import labels\nlabels.f"), "function f in labels.py");
        assert!(all("from labels import nothing\nnothing").contains("labels.py does not define `nothing`"));
        assert!(all("from .nowhere import x\nx").contains("which is not in the bento"));
        assert!(all("from ...x import y\ny").contains("above the service's sources"));
    }

    #[test]
    fn cycles_end() {
        let error = meaning(&[("s.py", "from a import x\nx"), ("a.py", "from s import x\n")]);
        assert!(error.contains("more than 32 modules"), "{error}");
        let error = meaning(&[("s.py", "from a import *\nx"), ("a.py", "from s import *\n")]);
        assert!(error.contains("`x` is not defined"), "{error}");
    }
}
