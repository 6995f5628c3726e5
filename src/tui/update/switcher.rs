//! Another profile, other Regions: the choice, the change, and the way back.
//!
//! Nothing is asked of AWS before the choice is opened. Answers of a list that was left carry its number and change nothing.

use super::start;
use crate::core::regions;
use crate::core::words::{tr, tr_with};
use crate::engine::scope::{Profile, ProfileKind, Scope, ScopeEvent};
use crate::tui::effect::Effect;
use crate::tui::keys::Action;
use crate::tui::model::switcher::{Before, ProfileNames, Switcher};
use crate::tui::model::{Model, Overlay, Pane};
use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

/// Rows of the popup's list.
pub const ROWS: usize = 13;

/// Something that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The profile and Regions that the program was started with.
    AsStarted,
    /// A profile.
    Profile(Profile),
    /// Every Region that is switched on.
    EveryRegion(Vec<String>),
    /// A Region.
    Region(String),
}

impl Choice {
    /// What sort of thing it is.
    pub fn sort(&self) -> &'static str {
        match self {
            Self::AsStarted => tr("start"),
            Self::Profile(_) => tr("profile"),
            Self::EveryRegion(_) | Self::Region(_) => tr("Region"),
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        match self {
            Self::AsStarted => tr("as the program was started").to_owned(),
            Self::Profile(profile) => profile.name.clone(),
            Self::EveryRegion(all) => tr_with("all {count} that are switched on", &[("count", &all.len())]),
            Self::Region(name) => name.clone(),
        }
    }

    /// What is known of it in a few words.
    pub fn about(&self) -> String {
        match self {
            Self::AsStarted | Self::EveryRegion(_) => String::new(),
            Self::Region(name) => regions::place(name).unwrap_or_default().to_owned(),
            Self::Profile(profile) => {
                let kind = match profile.kind {
                    ProfileKind::Role => tr("takes on a role"),
                    ProfileKind::Sso => tr("SSO login"),
                    ProfileKind::Keys => tr("access keys"),
                    ProfileKind::Process => tr("by a program"),
                    ProfileKind::Login => tr("aws login"),
                    ProfileKind::None => tr("no credentials of its own"),
                };
                let region = profile.region.as_deref().unwrap_or_default();
                [region, kind].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join("  ")
            }
        }
    }
}

/// Opens the choice, and asks for what there is to choose from.
pub fn open(model: &mut Model) -> Vec<Effect> {
    let ask = model.new_run().0;
    model.overlays.push(Overlay::Switcher(Box::new(Switcher { ask, ..Switcher::default() })));
    vec![Effect::LoadScopes { ask }]
}

/// Profiles or Regions became known.
pub fn arrived(model: &mut Model, ask: u64, event: ScopeEvent) {
    let before = selected(model);
    let found = model.overlays.iter_mut().find_map(|o| match o {
        Overlay::Switcher(s) if s.ask == ask => Some(s),
        _ => None,
    });
    let Some(switcher) = found else { return };
    match event {
        ScopeEvent::Profiles(profiles) => switcher.profiles = Some(profiles),
        ScopeEvent::Regions(regions) => switcher.regions = Some(regions),
    }
    if !switcher.moved {
        return;
    }
    // What is selected stays selected when rows come in around it.
    let place = switcher_of(model).and_then(|s| rows(model, s).iter().position(|c| Some(c) == before.as_ref()));
    if let (Some(place), Some(switcher)) = (place, switcher_mut(model)) {
        switcher.cursor = place;
    }
}

/// The popup, where it lies on top.
pub fn switcher_of(model: &Model) -> Option<&Switcher> {
    match model.overlays.last() {
        Some(Overlay::Switcher(s)) => Some(s),
        _ => None,
    }
}

fn switcher_mut(model: &mut Model) -> Option<&mut Switcher> {
    match model.overlays.last_mut() {
        Some(Overlay::Switcher(s)) => Some(s),
        _ => None,
    }
}

fn selected(model: &Model) -> Option<Choice> {
    let switcher = switcher_of(model)?;
    rows(model, switcher).into_iter().nth(switcher.cursor)
}

/// The Region that is listed now, or was meant to be.
fn region_now(model: &Model) -> Option<&str> {
    let regions =
        if model.start.regions.is_empty() { &model.start.standing.scope.regions } else { &model.start.regions };
    regions.first().map(String::as_str)
}

/// Whether a choice is what is listed now.
pub fn is_now(model: &Model, choice: &Choice) -> bool {
    let regions = &model.start.regions;
    match choice {
        Choice::AsStarted => model.start.standing.scope == Scope::default(),
        Choice::Profile(profile) => model.settings.profile.as_ref() == Some(&profile.name),
        Choice::EveryRegion(all) => regions.len() > 1 && regions == all,
        Choice::Region(name) => regions.len() == 1 && regions[0] == *name,
    }
}

/// What is offered, those that fit the filter best first.
pub fn rows(model: &Model, switcher: &Switcher) -> Vec<Choice> {
    let mut all = Vec::new();
    if model.start.standing.scope != Scope::default() {
        all.push(Choice::AsStarted);
    }
    if let Some(Ok(profiles)) = &switcher.profiles {
        all.extend(profiles.iter().cloned().map(Choice::Profile));
    }
    match &switcher.regions {
        Some(Ok(regions)) => {
            if regions.len() > 1 {
                all.push(Choice::EveryRegion(regions.clone()));
            }
            all.extend(regions.iter().cloned().map(Choice::Region));
        }
        // The names alone: whether a Region is switched on shows when it is asked.
        _ => all.extend(regions::beside(region_now(model)).into_iter().map(|r| Choice::Region(r.to_owned()))),
    }
    if switcher.query.trim().is_empty() {
        return all;
    }
    let pattern = Pattern::parse(&switcher.query, CaseMatching::Ignore, Normalization::Smart);
    // Letters in the right order are found in any sentence: what is said about a choice has to hold the words as typed.
    let about = Pattern::new(&switcher.query, CaseMatching::Ignore, Normalization::Smart, AtomKind::Substring);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut buffer = Vec::new();
    let mut scored: Vec<(u32, Choice)> = all
        .into_iter()
        .filter_map(|choice| {
            // A match in the name outranks one in what is said about it.
            let name = pattern.score(Utf32Str::new(&choice.name(), &mut buffer), &mut matcher);
            let words = format!("{} {} {}", choice.sort(), choice.name(), choice.about());
            let score = match name {
                Some(score) => score + (1 << 16),
                None => about.score(Utf32Str::new(&words, &mut buffer), &mut matcher)?,
            };
            Some((score, choice))
        })
        .collect();
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    scored.into_iter().map(|(_, choice)| choice).collect()
}

/// The filter was edited.
pub fn filtered(model: &mut Model) {
    if let Some(switcher) = switcher_mut(model) {
        (switcher.cursor, switcher.moved) = (0, false);
    }
}

/// Does an action of the popup.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Back => {
            model.overlays.pop();
        }
        Action::Accept => {
            if let Some(choice) = selected(model) {
                return choose(model, choice);
            }
        }
        _ => {
            let total = switcher_of(model).map_or(0, |s| rows(model, s).len());
            if let Some(switcher) = switcher_mut(model) {
                switcher.cursor = start::step(switcher.cursor, total, ROWS, action);
                switcher.moved = true;
            }
        }
    }
    Vec::new()
}

fn choose(model: &mut Model, choice: Choice) -> Vec<Effect> {
    model.overlays.pop();
    let now = &model.start.standing.scope;
    let scope = match choice {
        Choice::AsStarted => Scope::default(),
        // A profile that names no Region is looked at where one looks already.
        Choice::Profile(profile) => {
            let regions = profile.region.map_or_else(|| model.start.regions.clone(), |region| vec![region]);
            Scope { profile: Some(profile.name), regions }
        }
        Choice::EveryRegion(regions) => Scope { profile: now.profile.clone(), regions },
        Choice::Region(region) => Scope { profile: now.profile.clone(), regions: vec![region] },
    };
    go(model, scope)
}

/// Changes to a scope: the list is emptied and read anew; the one that was there is kept until the new one shows something.
fn go(model: &mut Model, scope: Scope) -> Vec<Effect> {
    let selected = model.selected_row().map(|r| r.instance.id.clone());
    let names = names(model);
    let started = model.start.standing.started.get_or_insert_with(|| names.clone()).clone();
    let start = &mut model.start;
    let left = Before {
        scope: std::mem::replace(&mut start.standing.scope, scope.clone()),
        names,
        rows: std::mem::take(&mut start.rows),
        by_id: std::mem::take(&mut start.by_id),
        filter: std::mem::take(&mut start.filter),
        selected,
        account: start.account.take(),
        regions: std::mem::replace(&mut start.regions, scope.regions.clone()),
        failures: std::mem::take(&mut start.failures),
        done: start.done,
    };
    // After two changes that led nowhere, the way back leads to the list that is known.
    if start.standing.before.is_none() || !left.rows.is_empty() {
        start.standing.before = Some(Box::new(left));
    }
    start.shown.clear();
    start.ranked_by.clear();
    (start.cursor, start.offset, start.pane) = (0, 0, Pane::Instances);
    let names = match &scope.profile {
        Some(name) => ProfileNames { shown: Some(name.clone()), named: Some(name.clone()) },
        None => started,
    };
    put_names(model, names);
    let mut effects = vec![Effect::ChangeScope(scope)];
    effects.extend(start::reload(model));
    effects
}

/// The profile as it is shown and named now.
fn names(model: &Model) -> ProfileNames {
    ProfileNames { shown: model.settings.profile.clone(), named: model.settings.base.profile.clone() }
}

fn put_names(model: &mut Model, names: ProfileNames) {
    model.settings.profile = names.shown;
    model.settings.base.profile = names.named;
}

/// Whether the change led to nothing, and there is a list to go back to.
pub fn may_go_back(model: &Model) -> bool {
    let start = &model.start;
    start.standing.before.is_some() && start.rows.is_empty() && (start.done || !start.failures.is_empty())
}

/// Where the way back leads: profile and Region in a few words.
pub fn way_back(model: &Model) -> Option<String> {
    let before = model.start.standing.before.as_ref().filter(|_| may_go_back(model))?;
    let region = match before.regions.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        many => tr_with("{count} regions", &[("count", &many.len())]),
    };
    let profile = before.names.shown.clone().unwrap_or_default();
    let words: Vec<String> = [profile, region].into_iter().filter(|t| !t.is_empty()).collect();
    Some(if words.is_empty() { tr("what was listed before").to_owned() } else { words.join("  ") })
}

/// Back to the list before the change; nothing is asked again unless it was not complete.
pub fn go_back(model: &mut Model) -> Vec<Effect> {
    let Some(before) = model.start.standing.before.take() else { return Vec::new() };
    let before = *before;
    put_names(model, before.names);
    let start = &mut model.start;
    // Answers of the list that is left come with an older number.
    start.load += 1;
    start.standing.scope = before.scope.clone();
    (start.rows, start.by_id, start.filter) = (before.rows, before.by_id, before.filter);
    (start.account, start.regions) = (before.account, before.regions);
    (start.failures, start.done) = (before.failures, before.done);
    let load = start.load;
    for row in &mut start.rows {
        row.load = load;
    }
    start::restored(model, before.selected.as_deref());
    let mut effects = vec![Effect::ChangeScope(before.scope)];
    if !before.done {
        effects.extend(start::reload(model));
    }
    effects
}
