//! The page's modules as one script, which a file without a server can carry. Pure.
//!
//! Each module becomes a function that gives what it exports; an import becomes a look at what an earlier one gave. That takes a
//! form that the page's modules keep: `import { a, b } from "./module.js";` at the beginning of a line, and `export` before
//! a declaration.

use std::fmt::Write;

const DECLARATIONS: [&str; 4] = ["const ", "function ", "async function ", "class "];

/// One script of modules, `(name, text)`, each of which asks only for those before it.
///
/// # Panics
///
/// Where a module has another form: both are a part of this program.
pub fn bundle(modules: &[(&str, &str)]) -> String {
    let mut script = "\"use strict\";\n(() => {\n".to_owned();
    for (name, text) in modules {
        let (body, exported) = module(text);
        let _infallible = write!(
            script,
            "const {} = (() => {{\n{body}return {{ {} }};\n}})();\n",
            value_of(name),
            exported.join(", ")
        );
    }
    script + "})();\n"
}

/// What a module becomes, and the names that it exports.
fn module(text: &str) -> (String, Vec<&str>) {
    let (mut body, mut exported) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(import) = rest.strip_prefix("import ") {
            let (names, from) = import.split_once(" from \"./").expect("an import names its module");
            let (from, after) = from.split_once("\";\n").expect("an import ends its line");
            let _infallible = writeln!(body, "const {names} = {};", value_of(from));
            rest = after;
            continue;
        }
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let declared = line.strip_prefix("export ").unwrap_or(line);
        if declared.len() < line.len() {
            let named = DECLARATIONS.iter().find_map(|kind| declared.strip_prefix(kind));
            let named = named.expect("what is exported is declared there");
            let end =
                named.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '$'))).unwrap_or(named.len());
            exported.push(&named[..end]);
        }
        body.push_str(declared);
        body.push('\n');
        rest = after;
    }
    (body, exported)
}

/// The name of what a module gives: `$figures` of `figures.js`.
fn value_of(module: &str) -> String {
    format!("${}", module.trim_end_matches(".js"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_become_functions_that_see_what_others_export() {
        let a = "// About a.\n\nexport const ONE = 1;\nconst own = 2;\nexport function two(x) {\n  return own;\n}\nexport class Three {}\n";
        let b =
            "import { ONE } from \"./a.js\";\nimport {\n  two, Three,\n} from \"./a.js\";\n\nuse(ONE, two, Three);\n";
        let expected = "\"use strict\";\n(() => {\nconst $a = (() => {\n// About a.\n\nconst ONE = 1;\nconst own = 2;\nfunction two(x) {\n  \
             return own;\n}\nclass Three {}\nreturn { ONE, two, Three };\n})();\nconst $b = (() => {\nconst { ONE } = $a;\nconst {\n  \
             two, Three,\n} = $a;\n\nuse(ONE, two, Three);\nreturn {  };\n})();\n})();\n";
        assert_eq!(bundle(&[("a.js", a), ("b.js", b)]), expected);
    }
}
