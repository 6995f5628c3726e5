//! Practice on the screens: the lessons, what was done about them, and what was solved. Plain data.

use crate::core::practice::Lesson;
use crate::core::practice::progress::{Progress, Solved};
use crate::core::practice::score::{Bill, Tally};
use crate::engine::event::RunId;
use crate::tui::model::{Model, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Keeps what was solved, over runs of the program.
pub trait Keep: std::fmt::Debug + Send + Sync {
    /// Keeps one lesson; it is safe when this returns.
    ///
    /// # Errors
    /// Why it could not be kept: one sentence.
    fn keep(&self, solved: &Solved) -> Result<(), String>;
}

/// The practice account, as the screens see it.
#[derive(Debug, Clone, Default)]
pub struct Practice {
    /// Its lessons.
    pub lessons: Vec<Lesson>,
    /// What was solved, in this run and before.
    pub progress: Progress,
    /// Begin with one question at a time.
    pub guided: bool,
    /// Its seed.
    pub seed: u64,
    /// Commands for another terminal, with which the account is reached by the aws CLI and ssh.
    pub by_hand: String,
    /// Who keeps what was solved; nobody in tests.
    pub keeper: Option<Arc<dyn Keep>>,
    /// What was done about each lesson, by its id.
    pub tallies: BTreeMap<String, Tally>,
    /// Lessons that are solved now, by id: a change taken back opens them again.
    pub solved: BTreeSet<String>,
    /// Lessons whose story was told, by id.
    pub told: BTreeSet<String>,
    /// Runs of which the end was looked at.
    pub settled: BTreeSet<RunId>,
}

/// A lesson that was solved, as it is told.
#[derive(Debug)]
pub struct SolvedBox {
    /// The lesson.
    pub lesson: Lesson,
    /// What it is worth.
    pub bill: Bill,
    /// The fix that was applied; `None` by hand, or where the cause was named.
    pub fix: Option<String>,
    /// Whether the cause was named before the way ended.
    pub named: bool,
    /// The most points before this time.
    pub before: Option<u32>,
    /// First line shown.
    pub scroll: usize,
}

impl Practice {
    /// The lesson about an instance, by its id or its Name tag.
    pub fn find(&self, id: &str, name: Option<&str>) -> Option<&Lesson> {
        self.lessons.iter().find(|lesson| lesson.instance == id || Some(lesson.name.as_str()) == name)
    }

    /// Points of the best time of an instance's lesson; `None` where it was not solved.
    pub fn points(&self, row: &Row) -> Option<u32> {
        let lesson = self.find(&row.instance.id, row.instance.name.as_deref())?;
        self.progress.of(&lesson.id).map(|best| best.points)
    }

    /// Lessons that were solved, and all.
    pub fn count(&self) -> (usize, usize) {
        let solved = self.lessons.iter().filter(|lesson| self.progress.of(&lesson.id).is_some()).count();
        (solved, self.lessons.len())
    }
}

impl Model {
    /// The lesson that the screen is about; `None` outside practice.
    pub fn lesson(&self) -> Option<&Lesson> {
        let practice = self.practice.as_ref()?;
        if self.stack.is_empty() {
            let instance = &self.selected_row()?.instance;
            return practice.find(&instance.id, instance.name.as_deref());
        }
        let diagnosing = self.diagnosing();
        let target = self.fixing().map(|f| &f.request.target).or_else(|| diagnosing.map(|d| &d.request.target))?;
        practice.find(&target.name, Some(&target.name)).or_else(|| {
            let instance = diagnosing?.snapshot.as_ref()?.facts.instance()?;
            practice.find(&instance.id, instance.name.as_deref())
        })
    }

    /// What was done about that lesson.
    pub fn tally(&self) -> Option<&Tally> {
        let id = &self.lesson()?.id;
        self.practice.as_ref()?.tallies.get(id)
    }
}
