//! The rules that come with the crate: those in `rules/`, as the build script packed them.
//!
//! They hold places in one text instead of pointers. Each pointer in static data is a place that the loader has to write at
//! every start of the program, and thousands of rules have tens of thousands of texts.

use std::borrow::Cow;

use crate::catalogue::{Check, Kind, Reach, Texts, Written};

include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// From where to where a text stands in all of them; several in lines.
#[derive(Clone, Copy)]
struct Place(u32, u32);

struct Packed {
    id: Place,
    description: Place,
    keywords: Place,
    pattern: Place,
    only: Place,
    tags: Place,
    group: usize,
    entropy: f32,
    certainty: f32,
    reach: Option<Reach>,
    setting: Option<Kind>,
    assigned: bool,
    check: Check,
}

impl Place {
    fn text(self) -> &'static str {
        TEXT.get(self.0 as usize..self.1 as usize).unwrap_or_default()
    }

    fn texts(self) -> Texts {
        self.text().lines().map(Cow::Borrowed).collect()
    }
}

/// The rules, without the samples in their files.
pub(crate) fn rules() -> impl Iterator<Item = Written> {
    BUILT_IN.iter().map(|packed| Written {
        id: Cow::Borrowed(packed.id.text()),
        description: Cow::Borrowed(packed.description.text()),
        keywords: packed.keywords.texts(),
        pattern: Cow::Borrowed(packed.pattern.text()),
        group: packed.group,
        entropy: packed.entropy,
        certainty: packed.certainty,
        reach: packed.reach,
        setting: packed.setting,
        assigned: packed.assigned,
        check: packed.check,
        only: packed.only.texts(),
        tags: packed.tags.texts(),
        positive: Vec::new(),
        negative: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::catalogue::{Catalogue, Written};

    #[test]
    fn what_was_packed_is_what_was_written() {
        let mut files: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/rules")).unwrap().collect();
        files.sort_by_key(|file| file.as_ref().unwrap().path());
        let texts = files.into_iter().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        let written = texts.flat_map(|text| toml::from_str::<Catalogue>(&text).unwrap().rules());
        let told = |rule: Written| format!("{:?}", Written { positive: Vec::new(), negative: Vec::new(), ..rule });
        let (packed, written): (Vec<_>, Vec<_>) = (super::rules().map(told).collect(), written.map(told).collect());
        assert!(packed == written && packed.len() > 600);
    }
}
