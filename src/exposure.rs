//! Files that others on the machine can read or replace, and that they should not: named at the start with what to do.
//!
//! They are warned of and not refused: container platforms hand out keys with modes of their own that nobody can change,
//! inside a container where there is nobody else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::config::{Bind, Config, SealSetting, StorageConfig};

/// Others may read, or others or the group may write. A group that may read is how services share a key.
const OPEN_FILE: u32 = 0o026;
/// Others may list or enter, or others or the group may write.
const OPEN_FOLDER: u32 = 0o027;

/// One sentence for each file of `config` that is open to others. What is not there is no concern of this.
pub fn exposed(config: &Config) -> Vec<String> {
    let keys = config.listeners.iter().filter_map(|listener| match &listener.bind {
        Bind::Tcp(_, Some(tls)) => Some(("the key of a listener", tls.key.as_path())),
        Bind::Tcp(_, None) | Bind::Unix(..) => None,
    });
    let unseal = match &config.seal {
        SealSetting::KeyFile(path) => Some(("the unseal key", path.as_path())),
        SealSetting::Shares | SealSetting::KeyVariable(_) | SealSetting::KeyCredential(_) => None,
    };
    let store = match &config.storage {
        StorageConfig::Sled { path, .. } => Some(("the folder of the store", path.as_path())),
        StorageConfig::Memory => None,
    };
    let files = keys.chain(unseal).filter_map(|(what, path)| sentence(what, path, OPEN_FILE, 0o600));
    files.chain(store.and_then(|(what, path)| sentence(what, path, OPEN_FOLDER, 0o700))).collect()
}

fn sentence(what: &str, path: &Path, open: u32, wanted: u32) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let path = path.display();
    (mode & open != 0)
        .then(|| format!("{what} is open to other users of this machine (mode {mode:04o}): chmod {wanted:o} {path}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    use super::exposed;
    use crate::config::Config;

    #[test]
    fn what_others_can_read_or_replace_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (data, tls, unseal) = (path("data"), path("tls.key"), path("unseal.key"));
        let config = Config::parse(&format!(
            "storage \"sled\" {{ path = \"{data}\" }}\n\
             listener \"tcp\" {{ tls_cert_file = \"/none\" tls_key_file = \"{tls}\" }}\n\
             seal \"static\" {{ current_key = \"file://{unseal}\" }}\n"
        ))
        .unwrap();
        assert_eq!(exposed(&config), Vec::<String>::new(), "nothing is there yet");
        create_dir(&data).unwrap();
        write(&tls, "").unwrap();
        write(&unseal, "").unwrap();
        let modes = |data_mode, tls_mode, unseal_mode| {
            for (path, mode) in [(&data, data_mode), (&tls, tls_mode), (&unseal, unseal_mode)] {
                set_permissions(path, Permissions::from_mode(mode)).unwrap();
            }
            exposed(&config)
        };
        assert_eq!(modes(0o700, 0o600, 0o400), Vec::<String>::new());
        assert_eq!(modes(0o750, 0o640, 0o440), Vec::<String>::new(), "a group is trusted to read, not to replace");
        let told = modes(0o755, 0o644, 0o604);
        for (told, start, end) in [
            (&told[0], "the key of a listener is open", format!("(mode 0644): chmod 600 {tls}")),
            (&told[1], "the unseal key is open", format!("(mode 0604): chmod 600 {unseal}")),
            (&told[2], "the folder of the store is open", format!("(mode 0755): chmod 700 {data}")),
        ] {
            assert!(told.starts_with(start) && told.ends_with(&end), "{told}");
        }
        assert_eq!(modes(0o770, 0o660, 0o602).len(), 3, "whoever may replace a file may choose its content");
    }
}
