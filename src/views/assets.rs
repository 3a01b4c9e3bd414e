//! The style sheets, icons and scripts, embedded in the binary and addressed by what is in them.
//!
//! An address carries a hash of the bytes (`/static/outpost.css?v=1f0c…`), so a browser may keep it for ever and still gets the
//! new file after an update. The address without the hash answers, too: a style sheet names its pictures that way. What the
//! browser is told about keeping either is the server's to say.

use std::collections::HashMap;
use std::sync::LazyLock;

/// One embedded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The file's name, as in `/static/NAME`.
    pub name: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
    /// For the `Content-Type` header.
    pub content_type: &'static str,
    /// The hash that stands in its address after `?v=`.
    pub version: String,
    /// A strong entity tag, with its quotes.
    pub etag: String,
}

const FILES: &[(&str, &str, &[u8])] = &[
    ("outpost.css", CSS, include_bytes!("../../static/outpost.css")),
    ("pages.css", CSS, include_bytes!("../../static/pages.css")),
    ("icons.svg", SVG, include_bytes!("../../static/icons.svg")),
    ("flag.svg", SVG, include_bytes!("../../static/flag.svg")),
    ("contours.svg", SVG, include_bytes!("../../static/contours.svg")),
    ("htmx.min.js", JS, include_bytes!("../../static/htmx.min.js")),
    ("hx-sse.min.js", JS, include_bytes!("../../static/hx-sse.min.js")),
    ("outpost.js", JS, include_bytes!("../../static/outpost.js")),
];
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const JS: &str = "text/javascript; charset=utf-8";

static ASSETS: LazyLock<HashMap<&'static str, Asset>> = LazyLock::new(|| {
    let asset = |&(name, content_type, bytes): &(&'static str, &'static str, &'static [u8])| {
        let version = blake3::hash(bytes).to_hex()[..16].to_owned();
        let etag = format!("\"{version}\"");
        (name, Asset { name, bytes, content_type, version, etag })
    };
    FILES.iter().map(asset).collect()
});

static ICONS: LazyLock<String> = LazyLock::new(|| href("icons.svg"));

/// The file of that name, or `None` where there is none.
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.get(name)
}

/// Every embedded file, in a fixed order.
pub fn all() -> impl Iterator<Item = &'static Asset> {
    FILES.iter().filter_map(|(name, ..)| asset(name))
}

/// The address of a file, with its hash; a name that is not embedded gets its plain address, which answers 404.
pub fn href(name: &str) -> String {
    match asset(name) {
        Some(asset) => format!("/static/{name}?v={}", asset.version),
        None => format!("/static/{name}"),
    }
}

/// The address of the icons, before `#` and the icon's name.
pub fn icons() -> &'static str {
    &ICONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_carries_the_hash_of_what_it_leads_to() {
        for asset in all() {
            let address = href(asset.name);
            assert_eq!(address, format!("/static/{}?v={}", asset.name, asset.version));
            assert_eq!(asset.etag, format!("\"{}\"", &blake3::hash(asset.bytes).to_hex()[..16]));
            assert!(!asset.bytes.is_empty());
        }
        assert_eq!(all().count(), FILES.len());
    }

    #[test]
    fn a_file_that_is_not_embedded_is_not_served() {
        assert!(asset("../Cargo.toml").is_none());
        assert!(asset("").is_none());
        assert_eq!(href("none.css"), "/static/none.css");
    }

    #[test]
    fn style_sheets_ask_only_for_embedded_files() {
        for sheet in all().filter(|asset| asset.content_type == CSS) {
            let text = std::str::from_utf8(sheet.bytes).expect("style sheets are UTF-8");
            for (_, rest) in text.match_indices("url(").map(|(at, _)| text.split_at(at + 4)) {
                let name = rest.split(')').next().unwrap_or_default().trim_matches('"');
                assert!(asset(name).is_some(), "{} asks for {name}", sheet.name);
            }
        }
    }

    #[test]
    fn vendored_scripts_are_the_ones_that_were_written_down() {
        let list: serde_json::Value =
            serde_json::from_str(include_str!("../../static/vendored.json")).expect("vendored.json is JSON");
        for entry in list.as_array().expect("a list") {
            let name = entry["file"].as_str().expect("a file name");
            let found = asset(name).unwrap_or_else(|| panic!("{name} is embedded"));
            assert_eq!(entry["blake3"], blake3::hash(found.bytes).to_hex().as_str(), "{name} was changed");
            assert!(entry["licence"].is_string() && entry["version"].is_string() && entry["sha256"].is_string());
        }
    }
}
