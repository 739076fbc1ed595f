//! Manifests: YAML 1.2 with bounded size, depth, nodes and alias expansion.
//!
//! Scalars that a manifest declares as text stay as written: `20210526123456_123456` and `1.0` are version strings, not
//! numbers, and timestamps are not interpreted.

use serde::de::DeserializeOwned;
use serde_saphyr::options::NonFiniteFloatPolicy;

use super::error::BundleError;
use super::files::{Files, MANIFEST_LIMIT};

/// Nested collections in a manifest; real ones have fewer than 20.
const MAX_DEPTH: usize = 64;
/// Scalars and collections in a manifest, aliases expanded.
const MAX_NODES: usize = 100_000;
/// Events that aliases may replay.
const MAX_REPLAYED: usize = 100_000;

/// Reads the manifest `name` of a bento.
pub(super) fn read<T: DeserializeOwned>(files: &Files, name: &str) -> Result<T, BundleError> {
    let text = files.read_text(name, MANIFEST_LIMIT)?;
    parse(&text).map_err(|detail| BundleError::Yaml { file: files.describe(name), detail })
}

/// Parses one YAML document; the error has line and column.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPLAYED },
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::parse;

    #[test]
    fn untyped_scalars_follow_yaml_1_2() {
        let value: Value = parse("{a: yes, b: 007, c: 1_000, d: 1.5, e: .nan, f: true, g: '1.0', h: }").unwrap();
        let expected = serde_json::json!(
            {"a": "yes", "b": "007", "c": "1_000", "d": 1.5, "e": ".nan", "f": true, "g": "1.0", "h": null});
        assert_eq!(value, expected);
    }

    #[test]
    fn alias_bomb_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let previous = format!("*a{}", level - 1);
            let row = vec![previous; 10].join(", ");
            text += &format!("a{level}: &a{level} [{row}]\n");
        }
        assert!(parse::<Value>(&text).is_err());
    }

    #[test]
    fn deep_documents_are_refused() {
        let flow = "[".repeat(100_000) + &"]".repeat(100_000);
        let error = parse::<Value>(&flow).unwrap_err();
        assert!(error.contains("line 1"), "{error}");
        let block: String = (0..3000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        assert!(parse::<Value>(&block).is_err());
    }
}
