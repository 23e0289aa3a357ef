//! Turns the rules in `src/rules/` into static data without their samples: a start of the program shall not parse them.

#[allow(dead_code, unreachable_pub, reason = "parts of it are for the crate and its tests")]
#[path = "src/catalogue.rs"]
mod catalogue;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/rules");
    println!("cargo::rerun-if-changed=src/catalogue.rs");
    let mut files: Vec<PathBuf> =
        fs::read_dir("src/rules")?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let (mut text, mut code) = (String::new(), String::new());
    for file in files {
        let parsed: catalogue::Catalogue =
            toml::from_str(&fs::read_to_string(&file)?).map_err(|error| format!("{}: {error}", file.display()))?;
        for rule in parsed.rules() {
            write_rule(&rule, &mut text, &mut code)?;
        }
    }
    let code = format!("static TEXT: &str = {text:?};\nstatic BUILT_IN: &[Packed] = &[\n{code}];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("built_in.rs"), code)?;
    Ok(())
}

/// Adds the texts of a rule to `text`, and the rest of it, with their places, to `code`.
fn write_rule(rule: &catalogue::Written, text: &mut String, code: &mut String) -> std::fmt::Result {
    let mut place = |part: &str| {
        let start = text.len();
        text.push_str(part);
        format!("Place({start}, {})", text.len())
    };
    write!(code, "Packed {{ id: {}, description: {}, ", place(&rule.id), place(&rule.description))?;
    write!(code, "keywords: {}, pattern: {}, ", place(&rule.keywords.join("\n")), place(&rule.pattern))?;
    write!(code, "only: {}, tags: {}, ", place(&rule.only.join("\n")), place(&rule.tags.join("\n")))?;
    write!(code, "group: {}, entropy: {:?}, certainty: {:?}, ", rule.group, rule.entropy, rule.certainty)?;
    let reach = rule.reach.map_or("None".to_owned(), |reach| format!("Some({reach:?})"));
    let setting = rule.setting.map_or("None".to_owned(), |kind| format!("Some(Kind::{kind:?})"));
    writeln!(
        code,
        "reach: {reach}, setting: {setting}, assigned: {}, check: Check::{:?} }},",
        rule.assigned, rule.check
    )
}
