//! SQLite databases, made by SQLite's own program in Python's library: a database is no text that a test could write.

use std::process::Command;

use tempfile::TempDir;
use turnlock_scan::{Report, Why};

use crate::{places, scanner, token};

/// A made-up password.
fn password() -> String {
    ["Zr4!Lk0", "Pw2Vx7"].concat()
}

/// A made-up key.
fn key() -> String {
    ["q8Zr4Lk0", "Pw2Vx7Nd5", "Ty1Bm6Hc3"].concat()
}

/// A folder with `app.db`, made by `script` with `d` for the connection.
fn database(script: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("import os, sqlite3\nd = sqlite3.connect('app.db')\n{script}\nd.commit()\n");
    let made = Command::new("python3").args(["-c", &script]).current_dir(folder.path()).status();
    assert!(made.unwrap().success());
    folder
}

/// Scans the folder, each of whose files must be covered.
fn scan(folder: &TempDir) -> Report {
    let report = scanner().scan_tree(folder.path()).unwrap();
    assert_eq!(report.coverage.omissions, []);
    report
}

/// Each of `values` is found once, and nothing else.
#[track_caller]
fn check(report: &Report, values: &[&str]) {
    let mut found: Vec<_> =
        report.findings.iter().map(|finding| String::from_utf8_lossy(finding.secret.expose()).into_owned()).collect();
    let mut values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
    found.sort();
    values.sort();
    assert_eq!(found, values, "{:?}", places(report));
}

#[test]
fn rows_of_a_database_are_read_as_settings() {
    let (password, key, token) = (password(), key(), token(7));
    let folder = database(&format!(
        "d.execute('CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, password TEXT)')\n\
         d.executemany('INSERT INTO users (name, password) VALUES (?, ?)', [('user%d' % n, '') for n in range(500)])\n\
         d.execute('INSERT INTO users (name, password) VALUES (?, ?)', ('ops', '{password}'))\n\
         d.execute('CREATE TABLE settings (name TEXT, note BLOB, value TEXT)')\n\
         d.execute('INSERT INTO settings VALUES (?, ?, ?)', ('mail_api_key', b'\\xff' * 9000, '{key}'))\n\
         d.execute('CREATE TABLE tokens (token TEXT)')\n\
         d.execute('INSERT INTO tokens VALUES (?)', ('{token}',))",
    ));
    check(&scan(&folder), &[&password, &key, &token]);
}

#[test]
fn tables_without_row_ids_are_read_with_their_key_first() {
    let (password, key) = (password(), key());
    // So many rows that some are in the inner pages: every one must be read.
    let folder = database(&format!(
        "d.execute('PRAGMA page_size = 512')\n\
         d.execute('CREATE TABLE users (password TEXT, note TEXT, name TEXT PRIMARY KEY) WITHOUT ROWID')\n\
         rows = [('', 'n' * 90, 'user%03d' % n) for n in range(300)]\n\
         rows[0] = ('{password}', '', 'user000')\n\
         d.executemany('INSERT INTO users VALUES (?, ?, ?)', rows)\n\
         d.execute('CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID')\n\
         d.executemany('INSERT INTO settings VALUES (?, ?)', [('flag%03d' % n, 'f' * 90) for n in range(300)])\n\
         d.execute('INSERT INTO settings VALUES (?, ?)', ('mail_api_key', 'x' * 2000 + '\\n' + 'mail_api_key = {key}'))",
    ));
    check(&scan(&folder), &[&password, &key]);
}

#[test]
fn every_row_of_the_inner_pages_of_a_table_without_row_ids_is_read() {
    let folder = database(
        "d.execute('PRAGMA page_size = 512')\n\
         d.execute('CREATE TABLE t (name TEXT PRIMARY KEY, password TEXT) WITHOUT ROWID')\n\
         d.executemany('INSERT INTO t VALUES (?, ?)', [('n%03d' % n, 'Zr4!Lk0Pw%03dx7' % n) for n in range(400)])",
    );
    assert_eq!(scan(&folder).findings.len(), 400);
}

#[test]
fn texts_in_utf_16_are_read() {
    for encoding in ["UTF-16le", "UTF-16be"] {
        let (password, token) = (password(), token(8));
        let folder = database(&format!(
            "d.execute(\"PRAGMA encoding = '{encoding}'\")\n\
             d.execute('CREATE TABLE users (name TEXT, password TEXT, note TEXT)')\n\
             d.execute('INSERT INTO users VALUES (?, ?, ?)', ('\u{fc}ser', '{password}', '{token}'))",
        ));
        check(&scan(&folder), &[&password, &token]);
    }
}

#[test]
fn a_long_row_is_read_to_its_end() {
    let (password, token) = (password(), token(9));
    let folder = database(&format!(
        "d.execute('CREATE TABLE pages (body TEXT, password TEXT)')\n\
         d.execute('INSERT INTO pages VALUES (?, ?)', ('lorem ' * 500000 + '\\n{token}', '{password}'))",
    ));
    check(&scan(&folder), &[&password, &token]);
}

#[test]
fn names_of_columns_that_hold_commas_shift_no_other() {
    let password = password();
    let folder = database(&format!(
        "d.execute('''CREATE TABLE users (name TEXT DEFAULT ',', -- who, and\n\"made, at\" TEXT, \
         full AS (name || ','), password TEXT)''')\n\
         d.execute('INSERT INTO users VALUES (?, ?, ?)', ('ops', '2024', '{password}'))",
    ));
    check(&scan(&folder), &[&password]);
}

#[test]
fn quotes_in_a_value_take_no_name_off_it() {
    let (password, key) = (["Zr4\"Lk0", "Pw2Vx7"].concat(), key());
    let folder = database(&format!(
        "d.execute('CREATE TABLE users (password TEXT, data TEXT)')\n\
         d.execute('INSERT INTO users VALUES (?, ?)', ('{password}', '{{\"mail_api_key\": \"{key}\"}}'))",
    ));
    check(&scan(&folder), &[&password, &key]);
}

#[test]
fn texts_that_are_stored_as_bytes_are_read() {
    let (password, key) = (password(), key());
    let folder = database(&format!(
        "d.execute('CREATE TABLE users (password BLOB, data BLOB)')\n\
         d.execute('INSERT INTO users VALUES (?, ?)', (b'{password}', 'mail_api_key = \"{key}\"'.encode('utf-16')))",
    ));
    check(&scan(&folder), &[&password, &key]);
}

#[test]
fn a_log_that_was_not_yet_brought_into_its_database_is_read() {
    let (password, key) = (password(), key());
    let folder = database(&format!(
        "d.execute('PRAGMA journal_mode = WAL')\n\
         d.execute('CREATE TABLE users (name TEXT, password TEXT)')\n\
         d.commit()\n\
         d.execute('PRAGMA wal_checkpoint(TRUNCATE)')\n\
         d.execute('CREATE TABLE logins (name TEXT, password TEXT)')\n\
         d.execute('INSERT INTO logins VALUES (?, ?)', ('ops', '{password}'))\n\
         d.execute('INSERT INTO users VALUES (?, ?)', ('mail_api_key', '{key}'))\n\
         d.commit()\n\
         os._exit(0)",
    ));
    let report = scan(&folder);
    check(&report, &[&password, &key]);
    assert!(places(&report).iter().all(|(_, file, ..)| file.ends_with("app.db-wal")));
}

#[test]
fn the_database_beside_a_log_names_what_the_log_says_and_tells_its_own_rows_itself() {
    let (old, new) = (["Kq7!Nd3", "Xy9Tz4"].concat(), password());
    let folder = database(&format!(
        "d.execute('PRAGMA journal_mode = WAL')\n\
         d.execute('CREATE TABLE users (name TEXT, password TEXT)')\n\
         d.executemany('INSERT INTO users VALUES (?, ?)', [('ops', '{old}')] + [('none', 'n' * 900)] * 50)\n\
         d.commit()\n\
         d.execute('PRAGMA wal_checkpoint(TRUNCATE)')\n\
         d.execute('INSERT INTO users VALUES (?, ?)', ('ops', '{new}'))\n\
         d.commit()\n\
         os._exit(0)",
    ));
    let report = scan(&folder);
    check(&report, &[&old, &new]);
    let mut files: Vec<_> = places(&report).into_iter().map(|(_, file, ..)| file.ends_with("-wal")).collect();
    files.sort_unstable();
    assert_eq!(files, [false, true], "{:?}", places(&report));
}

#[test]
fn a_log_whose_database_is_missing_says_so() {
    let written = |before: &str| {
        let folder = database(&format!(
            "d.execute('PRAGMA journal_mode = WAL')\n\
             d.execute('CREATE TABLE users (name TEXT, password TEXT)')\n\
             d.commit()\n\
             {before}\n\
             d.execute('INSERT INTO users VALUES (?, ?)', ('ops', '{}'))\n\
             d.commit()\n\
             os.remove('app.db')\n\
             os._exit(0)",
            password(),
        ));
        let report = scanner().scan_tree(folder.path()).unwrap();
        let gaps: Vec<_> = report.coverage.omissions.iter().map(|omission| omission.why.clone()).collect();
        (report.findings.len(), gaps)
    };
    assert_eq!(written("d.execute('PRAGMA wal_checkpoint(TRUNCATE)')"), (0, vec![Why::NoDatabase]));
    // The names are in the log itself.
    assert_eq!(written("d.execute('PRAGMA user_version = 1')"), (1, vec![]));
}

#[test]
fn what_is_missing_of_a_database_is_not_covered() {
    let token = token(10);
    let folder = database(&format!(
        "d.execute('CREATE TABLE tokens (token TEXT)')\n\
         d.executemany('INSERT INTO tokens VALUES (?)', [('{token}',)] + [('x' * 900,)] * 50)\n\
         d.commit()\n\
         os.truncate('app.db', 4096 * 9)",
    ));
    let report = scanner().scan_tree(folder.path()).unwrap();
    check(&report, &[&token]);
    let gaps: Vec<_> = report.coverage.omissions.iter().map(|omission| &omission.why).collect();
    assert_eq!(gaps, [&Why::DamagedRows]);
}
