//! The secrets of a mount over the memory store, against a model that keeps everything.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::config::Config;
use super::secrets::{Secrets, Which, WriteOptions};
use crate::barrier::seal::{SealConfig, SealKind};
use crate::barrier::{Barrier, View};
use crate::clock::SystemClock;
use crate::error::Error;
use crate::store::MemoryStore;

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

async fn opened() -> (Barrier, View) {
    let barrier = Barrier::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock));
    barrier.initialize(&SealConfig::fresh(SealKind::Static, 1, 1).unwrap(), &[9; 32]).await.unwrap();
    barrier.unseal(&[9; 32]).await.unwrap();
    let view = barrier.view("mount/test");
    (barrier, view)
}

fn at_cas(cas: u64) -> WriteOptions<'static> {
    WriteOptions { cas: Some(cas), ..WriteOptions::default() }
}

async fn text(secrets: &Secrets<'_>, path: &str, which: Which<'_>) -> Option<String> {
    match secrets.read(path, which).await {
        Ok(found) => found.data().map(|data| String::from_utf8(data.to_vec()).unwrap()),
        Err(Error::NotFound) => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn data_comes_back_byte_for_byte_as_current_and_by_number() {
    let (barrier, view) = opened().await;
    let (secrets, config) = (Secrets::new(&barrier, &view, start()), Config::default());
    let sent = r#"{"n": 9007199254740993 , "f":1.0,"e":"\u0041\/", "o":{"b":1,"a":[ ]}}"#;
    secrets.write("a/b", sent, WriteOptions::default(), &config).await.unwrap();
    secrets.write("a/b", r#"{"x":1e400}"#, WriteOptions::default(), &config).await.unwrap();
    assert_eq!(text(&secrets, "a/b", Which::Number(1)).await.as_deref(), Some(sent));
    assert_eq!(text(&secrets, "a/b", Which::Label("previous")).await.as_deref(), Some(sent));
    assert_eq!(text(&secrets, "a/b", Which::Label("current")).await.as_deref(), Some(r#"{"x":1e400}"#));
}

#[tokio::test]
async fn what_is_not_an_object_or_too_large_changes_nothing() {
    let (barrier, view) = opened().await;
    let (secrets, config) = (Secrets::new(&barrier, &view, start()), Config::default());
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
    for (data, status) in [("null", 400), ("[]", 400), ("\"x\"", 400), (r#"{"a":1,"a":2}"#, 400), (&large, 413)] {
        let error = secrets.write("a", data, WriteOptions::default(), &config).await.unwrap_err();
        assert_eq!(error.status(), status);
    }
    assert!(!secrets.exists("a").await.unwrap());
}

#[tokio::test]
async fn of_many_writers_with_one_expectation_exactly_one_wins() {
    let (barrier, view) = opened().await;
    let writers = 24;
    for round in 0..4u64 {
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let (barrier, view) = (barrier.clone(), view.clone());
                tokio::spawn(async move {
                    let data = format!(r#"{{"writer":{writer}}}"#);
                    let secrets = Secrets::new(&barrier, &view, start());
                    secrets.write("contested", &data, at_cas(round), &Config::default()).await.map(|_| writer)
                })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(writer) => winners.push(writer),
                Err(error) => assert_eq!(error.status(), 400),
            }
        }
        let secrets = Secrets::new(&barrier, &view, start());
        let stored = text(&secrets, "contested", Which::Label("current")).await.unwrap();
        assert_eq!(winners.len(), 1);
        assert_eq!(stored, format!(r#"{{"writer":{}}}"#, winners[0]));
    }
}

#[tokio::test]
async fn writers_without_an_expectation_all_get_a_version() {
    let (barrier, view) = opened().await;
    let config = Config { max_versions: 100, ..Config::default() };
    let tasks: Vec<_> = (0..32)
        .map(|writer| {
            let (barrier, view, config) = (barrier.clone(), view.clone(), config.clone());
            tokio::spawn(async move {
                let data = format!(r#"{{"writer":{writer}}}"#);
                let secrets = Secrets::new(&barrier, &view, start());
                secrets
                    .write("busy/one", &data, WriteOptions::default(), &config)
                    .await
                    .map(|(_, version)| version.number)
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.push(task.await.unwrap().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=32).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_pending_version_is_not_current_until_it_is_promoted() {
    let (barrier, view) = opened().await;
    let (secrets, config) = (Secrets::new(&barrier, &view, start()), Config::default());
    secrets.write("db", r#"{"p":1}"#, WriteOptions::default(), &config).await.unwrap();
    let pending = secrets.stage("db", r#"{"p":2}"#, &config, |version, _| Ok(*version)).await.unwrap();
    assert_eq!(text(&secrets, "db", Which::Label("current")).await.as_deref(), Some(r#"{"p":1}"#));
    assert_eq!(text(&secrets, "db", Which::Label("pending")).await.as_deref(), Some(r#"{"p":2}"#));
    for _ in 0..2 {
        secrets.promote("db", pending.number, |_, _| Ok(())).await.unwrap();
        assert_eq!(text(&secrets, "db", Which::Label("current")).await.as_deref(), Some(r#"{"p":2}"#));
        assert_eq!(text(&secrets, "db", Which::Label("previous")).await.as_deref(), Some(r#"{"p":1}"#));
        assert_eq!(text(&secrets, "db", Which::Label("pending")).await, None);
    }
    secrets.promote("db", 1, |_, _| Ok(())).await.unwrap();
    assert_eq!(text(&secrets, "db", Which::Label("current")).await.as_deref(), Some(r#"{"p":1}"#));
    assert_eq!(text(&secrets, "db", Which::Number(2)).await.as_deref(), Some(r#"{"p":2}"#));
    assert_eq!(secrets.promote("db", 9, |_, _| Ok(())).await.unwrap_err().status(), 400);
    assert_eq!(secrets.promote("none", 1, |_, _| Ok(())).await.unwrap_err().status(), 404);
}

#[tokio::test]
async fn versions_end_when_their_time_is_over() {
    let (barrier, view) = opened().await;
    let config = Config { delete_version_after: std::time::Duration::from_secs(60), ..Config::default() };
    let now = Secrets::new(&barrier, &view, start());
    now.write("a", r#"{"p":1}"#, WriteOptions::default(), &config).await.unwrap();
    let late = |seconds| Secrets::new(&barrier, &view, start() + TimeDelta::seconds(seconds));
    assert!(text(&late(59), "a", Which::Number(1)).await.is_some());
    assert_eq!(text(&late(60), "a", Which::Number(1)).await, None);
    assert_eq!(late(60).read("a", Which::Number(1)).await.unwrap().version.number, 1);
    assert!(late(60).patch("a", "{}", None, &config).await.unwrap().is_err());
}

#[tokio::test]
async fn a_removed_secret_leaves_nothing_for_the_next_at_its_path() {
    let (barrier, view) = opened().await;
    let (secrets, config) = (Secrets::new(&barrier, &view, start()), Config::default());
    for number in 1..=3 {
        secrets.write("a/b", &format!(r#"{{"p":{number}}}"#), WriteOptions::default(), &config).await.unwrap();
    }
    secrets.remove("a/b").await.unwrap();
    assert!(secrets.list("").await.unwrap().is_empty());
    secrets.write("a/b", r#"{"p":9}"#, at_cas(0), &config).await.unwrap();
    assert_eq!(text(&secrets, "a/b", Which::Number(2)).await, None);
    assert_eq!(secrets.list("a").await.unwrap(), ["b"]);
    assert_eq!(view.get("version/1/a/b").await.unwrap().map(|_| ()), None);
}

/// A secret that forgets nothing it should keep, written as plainly as can be.
#[derive(Debug, Clone, Default)]
struct Model {
    versions: BTreeMap<u32, ModelVersion>,
    newest: u32,
    labels: BTreeMap<String, u32>,
}

#[derive(Debug, Clone)]
struct ModelVersion {
    data: Option<String>,
    deleted: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Write(&'static str, Option<u64>),
    Patch,
    Label(&'static str, u32),
    Delete(u32),
    Undelete(u32),
    Destroy(u32),
    Remove,
}

const KEPT: u32 = 3;

fn step() -> impl Strategy<Value = Step> {
    let label = prop_oneof![Just("current"), Just("pending"), Just("blue")];
    let number = 0u32..10;
    prop_oneof![
        4 => (prop_oneof![3 => Just("current"), 1 => Just("pending"), 1 => Just("blue")], proptest::option::weighted(0.3, 0u64..6))
            .prop_map(|(label, cas)| Step::Write(label, cas)),
        2 => Just(Step::Patch),
        2 => (label, number.clone()).prop_map(|(label, number)| Step::Label(label, number)),
        2 => number.clone().prop_map(Step::Delete),
        1 => number.clone().prop_map(Step::Undelete),
        1 => number.prop_map(Step::Destroy),
        1 => Just(Step::Remove),
    ]
}

impl Model {
    fn label(&mut self, label: &str, number: u32) {
        let before = self.labels.insert(label.to_owned(), number);
        if label == "current" && before != Some(number) {
            if let Some(before) = before {
                self.labels.insert("previous".into(), before);
            }
            self.labels.retain(|name, labelled| name != "pending" || *labelled != number);
        }
    }

    fn add(&mut self, label: &str, data: String) -> u32 {
        self.newest += 1;
        self.versions.insert(self.newest, ModelVersion { data: Some(data), deleted: false });
        self.label(label, self.newest);
        while self.versions.len() > KEPT as usize {
            let held = |number: &u32| self.labels.iter().any(|(name, at)| at == number && name != "previous");
            let Some(oldest) = self.versions.keys().copied().find(|number| !held(number)) else { break };
            self.versions.remove(&oldest);
            self.labels.retain(|_, at| *at != oldest);
        }
        self.newest
    }

    fn shown(&self, number: Option<&u32>) -> Option<String> {
        let version = self.versions.get(number?)?;
        version.data.clone().filter(|_| !version.deleted)
    }

    fn live(&self, number: u32) -> bool {
        self.shown(Some(&number)).is_some()
    }
}

async fn play(steps: Vec<Step>) {
    let (barrier, view) = opened().await;
    let config = Config { max_versions: KEPT, ..Config::default() };
    let (mut model, mut present) = (Model::default(), false);
    for (at, step) in steps.into_iter().enumerate() {
        let secrets = Secrets::new(&barrier, &view, start() + TimeDelta::seconds(at as i64));
        let current = model.labels.get("current").copied().unwrap_or(0);
        match step.clone() {
            Step::Write(label, cas) => {
                let data = format!(r#"{{"at":{at}}}"#);
                let written = secrets.write("dir/one", &data, WriteOptions { cas, label }, &config).await;
                let expected = u64::from(model.labels.get(label).copied().unwrap_or(0));
                if cas.is_none_or(|cas| cas == expected) {
                    assert_eq!(written.unwrap().1.number, model.add(label, data), "{step:?}");
                    present = true;
                } else {
                    assert_eq!(written.unwrap_err().status(), 400);
                }
            }
            Step::Patch => {
                let patched = secrets.patch("dir/one", &format!(r#"{{"at":null,"patch":{at}}}"#), None, &config).await;
                match (current, model.live(current)) {
                    (0, _) => assert_eq!(patched.unwrap_err().status(), 404),
                    (_, false) => assert!(patched.unwrap().is_err()),
                    (_, true) => {
                        let number = model.add("current", format!(r#"{{"patch":{at}}}"#));
                        assert_eq!(patched.unwrap().unwrap().1.number, number);
                    }
                }
            }
            Step::Label(label, number) => {
                let set = secrets.set_label("dir/one", label, number).await;
                let there_already = model.labels.get(label) == Some(&number);
                if present && (there_already || model.live(number)) {
                    set.unwrap();
                    model.label(label, number);
                } else {
                    assert_eq!(set.unwrap_err().status(), if present { 400 } else { 404 });
                }
            }
            Step::Delete(number) => {
                secrets
                    .change("dir/one", |draft| {
                        draft.delete(&[number]);
                        Ok(())
                    })
                    .await
                    .unwrap();
                model.versions.entry(number).and_modify(|version| version.deleted = true);
            }
            Step::Undelete(number) => {
                secrets
                    .change("dir/one", |draft| {
                        draft.undelete(&[number], &config);
                        Ok(())
                    })
                    .await
                    .unwrap();
                model.versions.entry(number).and_modify(|version| version.deleted = false);
            }
            Step::Destroy(number) => {
                secrets
                    .change("dir/one", |draft| {
                        draft.destroy(&[number]);
                        Ok(())
                    })
                    .await
                    .unwrap();
                model.versions.entry(number).and_modify(|version| version.data = None);
            }
            Step::Remove => {
                secrets.remove("dir/one").await.unwrap();
                (model, present) = (Model::default(), false);
            }
        }
        for number in 0..=model.newest + 1 {
            assert_eq!(text(&secrets, "dir/one", Which::Number(number)).await, model.shown(Some(&number)), "{step:?}");
        }
        for label in ["current", "previous", "pending", "blue"] {
            let shown = model.shown(model.labels.get(label));
            assert_eq!(text(&secrets, "dir/one", Which::Label(label)).await, shown, "{label} after {step:?}");
        }
        assert_eq!(secrets.list("dir").await.unwrap().len(), usize::from(present));
        // What is stored beside is what is readable beside: no data outlives its version.
        for number in 1..=model.newest + 1 {
            let current = model.labels.get("current") == Some(&number);
            let beside = model.versions.get(&number).is_some_and(|version| version.data.is_some() && !current);
            assert_eq!(view.get(&format!("version/{number}/dir/one")).await.unwrap().is_some(), beside, "{step:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_sequence_of_operations_reads_as_the_model_says(steps in proptest::collection::vec(step(), 1..30)) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(play(steps));
    }
}
