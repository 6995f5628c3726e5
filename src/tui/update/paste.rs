//! A paste: recognised, matched with the instance list, turned into a diagnosis.

use crate::core::recognise::{Recognised, identify};
use crate::core::target::Target;
use crate::core::words::{tr, tr_with};
use crate::engine::diagnose::Request;
use crate::tui::effect::Effect;
use crate::tui::keys::Context;
use crate::tui::model::{Model, Overlay, Pane, PasteBox, Severity};
use crate::tui::update::{diagnosis, insert, shell, start};
use std::net::IpAddr;

/// A text was pasted.
pub fn pasted(model: &mut Model, text: &str) -> Vec<Effect> {
    model.notices.hide();
    let context = model.context();
    if model.shell().is_some() {
        return shell::pasted(model, context, text);
    }
    let word = text.trim();
    let single = !word.is_empty() && !word.contains(char::is_whitespace);
    if let Some(Overlay::Entry { text: typed }) = model.overlays.last_mut() {
        typed.push_str(text);
    } else if context == Context::Secret {
        // Spaces belong to it, and nothing else may read it.
        insert(model, context, text.trim_end_matches(['\r', '\n']));
    } else if context.is_text() && (single || (is_field(context) && !word.contains('\n'))) {
        insert(model, context, word);
    } else if single && model.stack.is_empty() && model.overlays.is_empty() {
        // One word is a name, an id or an address: look for it.
        word.clone_into(&mut model.start.filter);
        model.start.pane = Pane::Filter;
        start::filtered(model);
    } else if !word.is_empty() {
        recognise(model, text);
    }
    Vec::new()
}

/// Whether a line that is pasted belongs into the field even when it has spaces: a path, a few words to look for. In the
/// lists of the start it may as well be an error, and is recognised.
fn is_field(context: Context) -> bool {
    matches!(context, Context::Form | Context::Palette | Context::Switcher | Context::Consent | Context::FleetFilter)
}

/// Recognises a text and shows what it is.
pub fn recognise(model: &mut Model, text: &str) {
    let found = identify(text, None);
    let host = host_of(&found);
    let (matched, note) = match &host {
        Some(host) => match matches(model, host).as_slice() {
            [] if model.start.done => {
                (None, Some(tr_with("no instance of the list has the name or address {host}", &[("host", &host)])))
            }
            [] => (None, None),
            [one] => (Some(one.clone()), None),
            many => {
                (None, Some(tr_with("{count} instances are named {host}", &[("count", &many.len()), ("host", &host)])))
            }
        },
        None => (None, None),
    };
    let several = matched.is_none() && host.as_ref().is_some_and(|host| matches(model, host).len() > 1);
    let target = target(model, &found, host.as_deref(), matched.as_deref(), several);
    model.overlays.retain(|o| !matches!(o, Overlay::Paste(_) | Overlay::Entry { .. }));
    model.overlays.push(Overlay::Paste(Box::new(PasteBox { found, matched, note, target })));
}

/// The host that the paste names.
pub fn host_of(found: &Recognised) -> Option<String> {
    let typed = found.command.as_ref().and_then(|c| c.target.clone());
    typed.or_else(|| found.extract.host.clone())
}

/// Instances of the list that a name, address or id leads to.
fn matches(model: &Model, host: &str) -> Vec<String> {
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let is = |name: &Option<String>| name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(host));
    let rows = model.start.rows.iter().map(|r| &r.instance).filter(|i| {
        i.id == host
            || is(&i.name)
            || is(&i.public_dns)
            || is(&i.private_dns)
            || address.is_some_and(|a| i.addresses().contains(&a))
    });
    rows.map(|i| i.id.clone()).collect()
}

fn target(
    model: &Model,
    found: &Recognised,
    host: Option<&str>,
    matched: Option<&str>,
    several: bool,
) -> Option<Target> {
    let base = &model.settings.base;
    let row = matched.and_then(|id| model.start.by_id.get(id)).and_then(|at| model.start.rows.get(*at));
    let target = match (row, host) {
        (Some(row), host) => {
            let mut target = start::target_of(base, &row.instance);
            // Another address of the instance than the one that would be tried by itself.
            let dialled: Option<IpAddr> = host.and_then(|h| h.parse().ok());
            target.address = dialled.filter(|a| Some(*a) != row.instance.best_address());
            target
        }
        (None, Some(host)) if !several => Target { name: host.to_owned(), ..base.clone() },
        _ => match model.diagnosing() {
            Some(d) if host.is_none() => d.request.target.clone(),
            _ => return None,
        },
    };
    Some(with_details(target, found))
}

/// Adds to a target what the paste tells about the login.
pub fn with_details(mut target: Target, found: &Recognised) -> Target {
    let command = found.command.clone().unwrap_or_default();
    let extract = &found.extract;
    target.user = command.user.or_else(|| extract.user.clone()).or(target.user);
    target.port = command.port.or(extract.port).or(target.port);
    if !command.keys.is_empty() {
        target.keys = command.keys;
    } else if let Some(key) = &extract.key_path
        && target.keys.is_empty()
    {
        target.keys = vec![key.clone()];
    }
    target.jump = command.jump.or(target.jump);
    // A pasted -F or -o stays out: ssh would run what such a file or option names (Match exec, ProxyCommand).
    target
}

/// Whether a symptom was recognised.
pub fn symptom_of(found: &Recognised) -> Option<String> {
    (found.symptom != "other").then(|| found.symptom.clone())
}

/// Enter: to the diagnosis, or to the list when no instance is named.
pub fn accept(model: &mut Model) -> Vec<Effect> {
    let Some(Overlay::Paste(paste)) = model.overlays.pop() else { return Vec::new() };
    let PasteBox { found, target, .. } = *paste;
    let Some(target) = target else {
        wait_for_instance(model, found);
        return Vec::new();
    };
    let symptom = symptom_of(&found);
    diagnosis::open(model, Request { target, symptom, paste: Some(found), ..Request::default() })
}

/// Tab: choose another instance or symptom; the paste waits.
pub fn change(model: &mut Model) {
    if let Some(Overlay::Paste(paste)) = model.overlays.pop() {
        wait_for_instance(model, paste.found);
    }
}

fn wait_for_instance(model: &mut Model, found: Recognised) {
    if !model.is_changing() {
        model.stack.clear();
    }
    let symptom = symptom_of(&found);
    start::select_symptom(model, symptom.as_deref());
    model.start.pane = Pane::Instances;
    model.start.paste = Some(found);
    model.say(Severity::Note, tr("Choose the instance that the paste is about, then Enter."));
}
