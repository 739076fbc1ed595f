//! What names mean at the top of a module: imports with their aliases, classes, functions and values.
//!
//! Python runs a module from top to bottom; here nothing runs. A name has a meaning only if there is no doubt about it: one
//! definition, outside of any condition or loop, and nothing at the top of the module that could change its value.

use std::collections::HashMap;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Alias, Expr, Stmt, StmtClassDef, StmtFunctionDef, StmtImport, StmtImportFrom};
use ruff_text_size::{Ranged, TextRange};

/// The meaning of a name at the top of a module.
#[derive(Debug, Clone)]
pub(super) enum Binding<'a> {
    /// Something of a module: `a.b.c` from `import a.b as x` or `from a.b import c`.
    Import(ImportPath),
    /// A class.
    Class(&'a StmtClassDef),
    /// A function.
    Function(&'a StmtFunctionDef),
    /// The value of an expression.
    Value(&'a Expr),
    /// No single meaning; the text says why.
    Unclear(String),
}

/// A dotted path as an import names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImportPath {
    /// Dots in front: 0 for an absolute path.
    pub(super) level: u32,
    /// The module.
    pub(super) module: String,
    /// The name taken from the module, if any.
    pub(super) name: Option<String>,
}

/// The names of one module.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    names: HashMap<&'a str, Binding<'a>>,
    /// Modules of `from … import *`.
    pub(super) stars: Vec<(ImportPath, TextRange)>,
}

impl<'a> Scope<'a> {
    /// Reads the top of a module.
    pub(super) fn of(body: &'a [Stmt]) -> Scope<'a> {
        let mut scope = Scope::default();
        for statement in body {
            scope.statement(statement);
        }
        let mut globals = Globals(Vec::new());
        globals.visit_body(body);
        for name in globals.0 {
            scope.doubt(name, "a function changes it with `global`");
        }
        scope
    }

    /// The meaning of `name`, if the module defines it.
    pub(super) fn get(&self, name: &str) -> Option<&Binding<'a>> {
        self.names.get(name)
    }

    /// The names that imports bind, sorted.
    pub(super) fn imports(&self) -> Vec<(&'a str, &ImportPath)> {
        let imported = self.names.iter().filter_map(|(name, binding)| match binding {
            Binding::Import(path) => Some((*name, path)),
            _ => None,
        });
        let mut imports: Vec<_> = imported.collect();
        imports.sort_by_key(|(name, _)| *name);
        imports
    }

    /// Gives `name` a meaning; a second, different one makes it unclear.
    fn bind(&mut self, name: &'a str, binding: Binding<'a>) {
        let again = match (self.names.get(name), &binding) {
            (None, _) => false,
            (Some(Binding::Import(old)), Binding::Import(new)) => old != new,
            (Some(_), _) => true,
        };
        let binding = if again { Binding::Unclear("it is defined more than once".to_owned()) } else { binding };
        self.names.insert(name, binding);
    }

    fn doubt(&mut self, name: &'a str, why: &str) {
        self.names.insert(name, Binding::Unclear(why.to_owned()));
    }

    fn statement(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Import(import) => self.import(import),
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::ClassDef(class) => self.bind(class.name.as_str(), Binding::Class(class)),
            Stmt::FunctionDef(function) => self.bind(function.name.as_str(), Binding::Function(function)),
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    match target {
                        Expr::Name(name) => self.bind(name.id.as_str(), Binding::Value(&assign.value)),
                        other => self.parts(other, &assign.value),
                    }
                }
            }
            Stmt::AnnAssign(assign) => match (&*assign.target, &assign.value) {
                (Expr::Name(name), Some(value)) => self.bind(name.id.as_str(), Binding::Value(value)),
                (Expr::Name(_), None) => {}
                (other, _) => self.affected("it is assigned in parts").visit_expr(other),
            },
            Stmt::Expr(expression) if expression.value.is_string_literal_expr() => {}
            Stmt::Expr(_) => self.affected("a statement at the top of the module may change it").visit_stmt(statement),
            other => self.affected("its definition is conditional, or changed later").visit_stmt(other),
        }
    }

    /// `a, b = x, y`.
    fn parts(&mut self, target: &'a Expr, value: &'a Expr) {
        if let (Expr::Tuple(targets), Expr::Tuple(values)) = (target, value)
            && targets.elts.len() == values.elts.len()
            && targets.elts.iter().all(Expr::is_name_expr)
        {
            for (target, value) in targets.elts.iter().zip(&values.elts) {
                if let Expr::Name(name) = target {
                    self.bind(name.id.as_str(), Binding::Value(value));
                }
            }
            return;
        }
        self.affected("it is assigned in parts").visit_expr(target);
    }

    fn import(&mut self, import: &'a StmtImport) {
        for Alias { name, asname, .. } in &import.names {
            let path = |module: &str| ImportPath { level: 0, module: module.to_owned(), name: None };
            match asname {
                Some(alias) => self.bind(alias.as_str(), Binding::Import(path(name.as_str()))),
                // `import a.b` binds `a`; `a.b` is then an attribute of it.
                None => {
                    let first = name.as_str().split('.').next().unwrap_or_default();
                    self.bind(first, Binding::Import(path(first)));
                }
            }
        }
    }

    fn import_from(&mut self, import: &'a StmtImportFrom) {
        let module = import.module.as_ref().map_or("", |module| module.as_str());
        for alias in &import.names {
            let path =
                ImportPath { level: import.level, module: module.to_owned(), name: Some(alias.name.to_string()) };
            if alias.name.as_str() == "*" {
                self.stars.push((path, alias.range()));
            } else {
                let bound = alias.asname.as_ref().unwrap_or(&alias.name);
                self.bind(bound.as_str(), Binding::Import(path));
            }
        }
    }

    /// Doubts what a statement or expression binds or may change.
    fn affected(&mut self, why: &'static str) -> Effects<'_, 'a> {
        Effects { scope: self, why }
    }
}

/// Collects the names of `global` statements anywhere.
struct Globals<'a>(Vec<&'a str>);

impl<'a> Visitor<'a> for Globals<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if let Stmt::Global(global) = statement {
            self.0.extend(global.names.iter().map(|name| name.as_str()));
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

/// Doubts every name that is bound, and every value that is mentioned, for it may be changed.
///
/// Imports inside of compound statements are taken if nothing contradicts them: the usual `try: import …` and
/// `if TYPE_CHECKING: import …`.
struct Effects<'s, 'a> {
    scope: &'s mut Scope<'a>,
    why: &'static str,
}

impl<'a> Visitor<'a> for Effects<'_, 'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Import(import) => self.scope.import(import),
            Stmt::ImportFrom(import) => self.scope.import_from(import),
            Stmt::ClassDef(class) => self.scope.doubt(class.name.as_str(), self.why),
            Stmt::FunctionDef(function) => self.scope.doubt(function.name.as_str(), self.why),
            other => walk_stmt(self, other),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Name(name) = expression {
            let known = self.scope.names.get(name.id.as_str());
            if name.ctx.is_store() || matches!(known, Some(Binding::Value(_))) {
                self.scope.doubt(name.id.as_str(), self.why);
            }
        }
        walk_expr(self, expression);
    }
}

#[cfg(test)]
mod tests {
    use super::{Binding, Scope};

    /// One word for the meaning of each name.
    fn meanings(text: &str, names: &str) -> String {
        let parsed = ruff_python_parser::parse_module(text).unwrap().into_syntax();
        let scope = Scope::of(&parsed.body);
        let one = |name| match scope.get(name) {
            None => "none".to_owned(),
            Some(Binding::Import(path)) => {
                let dots = ".".repeat(path.level as usize);
                format!("{dots}{}:{}", path.module, path.name.as_deref().unwrap_or("-"))
            }
            Some(Binding::Class(_)) => "class".to_owned(),
            Some(Binding::Function(_)) => "function".to_owned(),
            Some(Binding::Value(_)) => "value".to_owned(),
            Some(Binding::Unclear(_)) => "unclear".to_owned(),
        };
        names.split(' ').map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn imports_and_aliases() {
        let text = "import numpy as np\nimport a.b.c\nimport x.y as z\nfrom p.q import r, s as t\nfrom . import u\nfrom ..v import w\n";
        let expected = "numpy:- a:- x.y:- p.q:r p.q:s .:u ..v:w none";
        assert_eq!(meanings(text, "np a z r t u w s"), expected);
    }

    #[test]
    fn definitions_and_doubts() {
        let text = "A = 1\nB: int = 2\nA2 = 1\nA2 = 2\nC, D = 1, 2\nE = []\nE.append(1)\nF = {}\nF['x'] = 1\n\
                    def g():\n    global H\nH = 1\nclass I: pass\nfor J in []: K = 1\nimport os\nos.environ['x'] = '1'\nL += 1\n\
                    def g2(): pass\nif A: M = 1\nwith open(F) as N: pass\nO, P = I\n";
        let names = "A B A2 C D E F g H I J K L g2 M N O P Z os";
        let expected = "unclear value unclear value value unclear unclear function unclear class unclear unclear unclear function \
                        unclear unclear unclear unclear none os:-";
        assert_eq!(meanings(text, names), expected);
    }

    #[test]
    fn conditional_imports() {
        let same =
            "try:\n    import numpy as np\nexcept ImportError:\n    pass\nif TYPE_CHECKING:\n    import pandas as pd\n";
        assert_eq!(meanings(same, "np pd"), "numpy:- pandas:-");
        let other = "try:\n    import ujson as json\nexcept ImportError:\n    import json\n";
        assert_eq!(meanings(other, "json"), "unclear");
        let definitions = "try:\n    def f(): pass\nexcept E:\n    class G: pass\n";
        assert_eq!(meanings(definitions, "f G"), "unclear unclear");
    }
}
