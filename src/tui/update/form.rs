//! Login details: the ssh options of the next diagnosis (start) or of this one (diagnosis).

use crate::core::target::Target;
use crate::core::words::{phrase, tr, tr_with};
use crate::tui::effect::Effect;
use crate::tui::keys::Action;
use crate::tui::model::{Field, Form, Model, Overlay, Severity};
use crate::tui::update::diagnosis;

/// Opens the form, filled with what is used now.
pub fn open(model: &mut Model) {
    let target = model.diagnosing().map_or(&model.settings.base, |d| &d.request.target);
    let field = |label, value: Option<String>, hint| Field { label, value: value.unwrap_or_default(), hint };
    let fields = vec![
        field(phrase("User"), target.user.clone(), phrase("empty: from ssh configuration or the image")),
        field(phrase("Port"), target.port.map(|p| p.to_string()), phrase("empty: from ssh configuration, or 22")),
        field(phrase("Key files"), Some(target.keys.join(", ")), phrase("as with ssh -i; several with commas")),
        field(phrase("Address"), target.address.map(|a| a.to_string()), phrase("empty: the instance's own")),
        field(phrase("Your address"), target.source_ip.map(|a| a.to_string()), phrase("empty: found out")),
    ];
    model.overlays.push(Overlay::Form(Form { fields, cursor: 0, error: None }));
}

/// Does an action of the form.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let Some(Overlay::Form(form)) = model.overlays.last_mut() else { return Vec::new() };
    let total = form.fields.len();
    match action {
        Action::Down => form.cursor = (form.cursor + 1) % total,
        Action::Up => form.cursor = (form.cursor + total - 1) % total,
        Action::Back => {
            model.overlays.pop();
        }
        Action::Accept => return accept(model),
        _ => {}
    }
    Vec::new()
}

fn accept(model: &mut Model) -> Vec<Effect> {
    let old = model.diagnosing().map_or(&model.settings.base, |d| &d.request.target).clone();
    let Some(Overlay::Form(form)) = model.overlays.last_mut() else { return Vec::new() };
    match read(form, old) {
        Err((field, error)) => {
            (form.cursor, form.error) = (field, Some(error));
            Vec::new()
        }
        Ok(target) => {
            model.overlays.pop();
            let Some(d) = model.diagnosing_mut() else {
                model.settings.base = target;
                model.say(Severity::Note, tr("These login details are used for the next diagnosis."));
                return Vec::new();
            };
            if d.request.target == target {
                return Vec::new();
            }
            d.request.target = target;
            diagnosis::again(model)
        }
    }
}

fn read(form: &Form, old: Target) -> Result<Target, (usize, String)> {
    let text = |n: usize| form.fields.get(n).map(|f| f.value.trim()).filter(|v| !v.is_empty());
    let address = |n: usize| match text(n) {
        None => Ok(None),
        Some(t) => t.parse().map(Some).map_err(|_| (n, tr_with("'{text}' is not an IP address", &[("text", &t)]))),
    };
    let port = match text(1) {
        None => None,
        Some(t) => match t.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err((1, tr_with("'{text}' is not a port: a number from 1 to 65535", &[("text", &t)]))),
        },
    };
    let user = text(0).map(str::to_owned);
    if user.as_ref().is_some_and(|u| u.starts_with('-') || u.chars().any(char::is_whitespace)) {
        return Err((0, tr("a user name has no spaces and does not begin with '-'").to_owned()));
    }
    let keys = text(2).unwrap_or_default().split(',').map(|k| k.trim().to_owned()).filter(|k| !k.is_empty()).collect();
    Ok(Target { user, port, keys, address: address(3)?, source_ip: address(4)?, ..old })
}
