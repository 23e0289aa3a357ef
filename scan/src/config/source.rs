//! Which configuration a scan takes: the first that there is of flag, environment and the file at the top of what is
//! scanned, over the organisation's.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{Config, ConfigError, ReadExtended};

/// Names of configuration files, at the top of what is scanned. The first that exists counts.
pub const CONFIG_FILES: &[&str] = &[".turnlock-scan.toml", ".gitleaks.toml", ".betterleaks.toml"];

/// Variables with the path of a configuration file.
const PATH_VARIABLES: &[&str] = &["TURNLOCK_SCAN_CONFIG", "GITLEAKS_CONFIG", "BETTERLEAKS_CONFIG"];

/// Variables with the text of a configuration.
const TEXT_VARIABLES: &[&str] = &["TURNLOCK_SCAN_CONFIG_TOML", "GITLEAKS_CONFIG_TOML", "BETTERLEAKS_CONFIG_TOML"];

/// Variable with the path of the organisation's configuration file.
const ORGANISATION_VARIABLE: &str = "TURNLOCK_SCAN_ORGANISATION_CONFIG";

/// Largest configuration file.
const MAX_CONFIG_BYTES: u64 = 8 << 20;

/// A configuration and the files that it came from: those hold what looks like credentials and are not scanned.
#[derive(Debug, Default)]
pub struct Found {
    /// All of them merged.
    pub config: Config,
    /// The files.
    pub files: Vec<PathBuf>,
}

/// Finds and merges the configuration for a scan.
///
/// `tops`: folders that may hold a configuration file; the first file counts. `flag` and `organisation`: files that arguments name. `variable`: reads the environment.
pub fn find(
    flag: Option<&Path>,
    organisation: Option<&Path>,
    tops: &[PathBuf],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Found, ConfigError> {
    let mut found = Found::default();
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let named = |names: &[&'static str]| names.iter().find_map(|name| Some((*name, variable(name)?)));
    let of_path = |path: &Path, files: &mut Vec<PathBuf>| {
        files.push(path.to_owned());
        of_file(path)
    };
    let own = if let Some(path) = flag {
        Some(of_path(path, &mut found.files)?)
    } else if let Some((_, path)) = named(PATH_VARIABLES) {
        Some(of_path(Path::new(&path), &mut found.files)?)
    } else if let Some((name, text)) = named(TEXT_VARIABLES) {
        let text = text.into_string().map_err(|_| ConfigError::NotText.within(name))?;
        Some(Config::parse(&text, name, &|path| read_near(path, Path::new("")))?)
    } else if let Some(path) = tops.iter().find_map(|top| in_folder(top)) {
        Some(of_path(&path, &mut found.files)?)
    } else {
        None
    };
    let from_variable = variable(ORGANISATION_VARIABLE).map(PathBuf::from);
    let organisation = match organisation.map(Path::to_owned).or(from_variable) {
        Some(path) => Some(of_path(&path, &mut found.files)?),
        None => None,
    };
    found.config = match (own, organisation) {
        (Some(own), Some(organisation)) => own.over(organisation),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => Config::default(),
    };
    Ok(found)
}

/// The configuration file in `folder`.
pub(super) fn in_folder(folder: &Path) -> Option<PathBuf> {
    CONFIG_FILES.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Reads the configuration file at `path`.
pub fn of_file(path: &Path) -> Result<Config, ConfigError> {
    parsed(path, Config::parse)
}

/// Reads the configuration file of a folder below the top.
pub(super) fn of_folder(path: &Path) -> Result<Config, ConfigError> {
    parsed(path, Config::parse_part)
}

type Parse = fn(&str, &str, ReadExtended<'_>) -> Result<Config, ConfigError>;

fn parsed(path: &Path, parse: Parse) -> Result<Config, ConfigError> {
    let name = path.display().to_string();
    let text = read(path).map_err(|source| ConfigError::Unreadable { cause: source.to_string() }.within(&name))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, &name, &|path| read_near(path, folder))
}

/// Paths of extended files start at the working directory, as the format has it; else they are taken from the folder of
/// the file that names them.
fn read_near(path: &str, folder: &Path) -> io::Result<String> {
    match read(Path::new(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => read(&folder.join(path)),
        outcome => outcome,
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // A configuration may come through a pipe, so its length is known only at its end.
    std::fs::File::open(path)?.take(MAX_CONFIG_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_CONFIG_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than any configuration"));
    }
    Ok(text)
}
