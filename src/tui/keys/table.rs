//! The rows of the key table, and when each of them works.
//!
//! Data and conditions alone; reading them is up to [`super`].

use super::{Action, Binding, Context};
use crate::engine::failure::FailureKind;
use crate::engine::journal::EntryState;
use crate::engine::report::Form;
use crate::tui::effect::Place;
use crate::tui::model::fleet::FleetList;
use crate::tui::model::{Diagnosing, Model, Phase, Screen, ShellPhase};
use crate::tui::update::diagnosis::Choice;

fn always(_: &Model) -> bool {
    true
}

const fn row(
    context: Context,
    keys: &'static str,
    action: Action,
    label: &'static str,
    help: &'static str,
    rank: u8,
    when: fn(&Model) -> bool,
) -> Binding {
    Binding { context, keys, action, label, help, rank, when }
}

/// All keys.
#[rustfmt::skip]
pub const TABLE: &[Binding] = {
    use Action as A;
    use Context as C;
    &[
        // Start.
        row(C::Instances, "enter", A::Accept, "diagnose", "diagnose the instance with the chosen symptom", 1, has_instance),
        row(C::Instances, "/", A::Filter, "filter", "filter by name, id, address, tag or key", 2, always),
        row(C::Instances, "tab right", A::NextPane, "symptom", "go to the symptoms", 2, always),
        row(C::Instances, "v", A::Entry, "type or paste", "type an error, an ssh command or an address", 3, always),
        row(C::Instances, "t", A::Details, "login details", "user, port, keys, your address for the next diagnosis", 4, always),
        row(C::Instances, "f", A::Fleet, "fleet", "every instance at once: who is reached, and why not", 3, always),
        row(C::Instances, "p", A::Switch, "profile, Region", "change to another profile or Region", 5, always),
        row(C::Instances, "r", A::Again, "reload", "read the instance list again", 5, list_is_done),
        row(C::Instances, "esc", A::SwitchBack, "go back", "back to the profile and Region before", 1, may_switch_back),
        row(C::Instances, ">", A::SortNext, "sort", "sort by the next column, then as they arrive", 10, has_rows),
        row(C::Instances, "<", A::SortBefore, "", "sort by the column before", 0, has_rows),
        row(C::Instances, "-", A::Reverse, "", "sort the other way round", 0, is_sorted),
        row(C::Instances, "c", A::Columns, "columns", "choose, move and sort by columns", 10, has_rows),
        row(C::Instances, "esc", A::Back, "clear", "clear the filter and the waiting paste", 6, start_can_clear),
        row(C::Instances, "up k", A::Up, "", "up", 0, always),
        row(C::Instances, "down j", A::Down, "", "down", 0, always),
        row(C::Instances, "pageup ctrl-b", A::PageUp, "", "a page up", 0, always),
        row(C::Instances, "pagedown ctrl-f", A::PageDown, "", "a page down", 0, always),
        row(C::Instances, "home", A::First, "", "first row", 0, always),
        row(C::Instances, "end G", A::Last, "", "last row", 0, always),

        row(C::Filter, "enter", A::Accept, "diagnose", "diagnose the instance, or what you typed", 1, filter_can_go),
        row(C::Filter, "tab", A::NextPane, "symptom", "go to the symptoms, keeping the filter", 3, always),
        row(C::Filter, "esc", A::Back, "clear filter", "clear the filter", 2, always),
        row(C::Filter, "up", A::Up, "", "up", 0, always),
        row(C::Filter, "down", A::Down, "", "down", 0, always),
        row(C::Filter, "pageup", A::PageUp, "", "a page up", 0, always),
        row(C::Filter, "pagedown", A::PageDown, "", "a page down", 0, always),

        row(C::Symptoms, "enter", A::Accept, "diagnose", "diagnose the selected instance with this symptom", 1, has_instance),
        row(C::Symptoms, "tab left", A::NextPane, "instances", "back to the instances", 2, always),
        row(C::Symptoms, "esc", A::Back, "back", "clear what you typed, then back", 3, always),
        row(C::Symptoms, "up", A::Up, "", "up", 0, always),
        row(C::Symptoms, "down", A::Down, "", "down", 0, always),
        row(C::Symptoms, "pageup", A::PageUp, "", "a page up", 0, always),
        row(C::Symptoms, "pagedown", A::PageDown, "", "a page down", 0, always),

        row(C::Paste, "enter", A::Accept, "diagnose", "diagnose what it names, or choose the instance", 1, always),
        row(C::Paste, "tab", A::NextPane, "change", "choose another instance or symptom", 2, always),
        row(C::Paste, "esc", A::Back, "forget it", "close without doing anything", 3, always),

        row(C::Entry, "ctrl-d ctrl-s", A::Accept, "recognise", "recognise the text", 1, always),
        row(C::Entry, "enter", A::Yes, "next line", "next line; an empty line ends the text", 2, always),
        row(C::Entry, "esc", A::Back, "cancel", "close without doing anything", 3, always),

        row(C::Form, "enter", A::Accept, "use", "use these details", 1, always),
        row(C::Form, "tab down", A::Down, "next field", "next field", 2, always),
        row(C::Form, "backtab up", A::Up, "", "field before", 0, always),
        row(C::Form, "esc", A::Back, "cancel", "leave everything as it was", 3, always),

        // Diagnosis.
        row(C::Diagnosis, "enter 1", A::Choose(0), "fix 1", "do the first thing offered", 1, first_is_fix),
        row(C::Diagnosis, "enter 1", A::Choose(0), "try again", "run again with the right user name", 1, first_is_try),
        row(C::Diagnosis, "enter 1", A::Choose(0), "log in 1", "open a terminal through the way in that is offered", 1, first_is_door),
        row(C::Diagnosis, "enter 1", A::Choose(0), "how to 1", "read the first thing offered", 1, first_is_text),
        row(C::Diagnosis, "enter 1", A::Choose(0), "copy the login", "copy the ssh command of a login that works", 1, first_is_login),
        row(C::Diagnosis, "2", A::Choose(1), "", "do the second thing offered", 0, has_choice::<1>),
        row(C::Diagnosis, "3", A::Choose(2), "", "do the third thing offered", 0, has_choice::<2>),
        row(C::Diagnosis, "4", A::Choose(3), "", "do the fourth thing offered", 0, has_choice::<3>),
        row(C::Diagnosis, "y", A::Copy, "copy", "copy the ssh command, or the check's by-hand command", 3, can_copy),
        row(C::Diagnosis, "a", A::Ask, "answer", "answer the question of the selected check", 2, has_question),
        row(C::Diagnosis, "n", A::NextCause, "next cause", "show the next cause and its fixes", 4, has_more_causes),
        row(C::Diagnosis, "down j", A::Down, "check", "next check", 5, has_checks),
        row(C::Diagnosis, "up k", A::Up, "", "check before", 0, has_checks),
        row(C::Diagnosis, "pagedown space", A::ScrollDown, "", "scroll the detail down", 0, has_checks),
        row(C::Diagnosis, "pageup", A::ScrollUp, "", "scroll the detail up", 0, has_checks),
        row(C::Diagnosis, "home", A::First, "", "first check", 0, has_checks),
        row(C::Diagnosis, "end G", A::Last, "", "last check", 0, has_checks),
        row(C::Diagnosis, "s", A::Shell, "shell", "a shell through the cheapest way in that is open", 4, has_checks),
        row(C::Diagnosis, "d", A::Doors, "doors", "ways in, open and closed", 5, has_checks),
        row(C::Diagnosis, "i", A::Inside, "look inside", "look inside, read-only, after your consent", 4, may_look_inside),
        row(C::Diagnosis, "g", A::Guided, "guided", "one question at a time", 6, always),
        row(C::Diagnosis, "r", A::Again, "run again", "run the checks again", 4, is_finished),
        row(C::Diagnosis, "t", A::Details, "login details", "change user, port, keys, your address; run again", 8, always),
        row(C::Diagnosis, "e", A::Export, "export", "write or copy the report, redacted if you like", 7, has_checks),
        row(C::Diagnosis, "x", A::Explain, "explain", "what the cause means", 8, has_cause),
        row(C::Diagnosis, "h", A::ByHand, "by hand", "how to do the selected check by hand", 9, has_checks),
        row(C::Diagnosis, "w", A::Glossary, "", "the words on the screen", 0, always),
        row(C::Diagnosis, "v", A::Entry, "", "type or paste another text", 0, always),
        row(C::Diagnosis, "esc", A::Stop, "stop", "stop the checks that run; what is known stays", 3, is_running),
        row(C::Diagnosis, "esc", A::Back, "back", "back to the start", 3, is_finished),

        row(C::Guided, "enter 1", A::Accept, "go on", "show the answer, then go on; at the end the first fix", 1, has_checks),
        row(C::Guided, "y", A::Yes, "guess yes", "guess: it is so (practice account)", 2, may_guess),
        row(C::Guided, "n", A::No, "guess no", "guess: it is not so (practice account)", 2, may_guess),
        row(C::Guided, "a", A::Ask, "answer", "answer the question of this step", 2, has_question),
        row(C::Guided, "c", A::NameCause, "name the cause", "name the cause before the way ends (practice account)", 3, may_name),
        row(C::Guided, "left backspace", A::Up, "step back", "the question before", 3, has_checks),
        row(C::Guided, "h", A::ByHand, "by hand", "how to do this step by hand", 3, has_checks),
        row(C::Guided, "w", A::Glossary, "words", "the words on the screen", 4, always),
        row(C::Guided, "g", A::Guided, "triage", "everything at once", 4, always),
        row(C::Guided, "s", A::Shell, "shell", "a shell through the cheapest way in that is open", 5, has_checks),
        row(C::Guided, "d", A::Doors, "doors", "ways in, open and closed", 6, has_checks),
        row(C::Guided, "e", A::Export, "export", "write or copy the report, redacted if you like", 7, has_checks),
        row(C::Guided, "r", A::Again, "run again", "run the checks again", 6, is_finished),
        row(C::Guided, "i", A::Inside, "look inside", "look inside, read-only, after your consent", 4, may_look_inside),
        row(C::Guided, "pagedown space", A::ScrollDown, "", "scroll down", 0, has_checks),
        row(C::Guided, "pageup", A::ScrollUp, "", "scroll up", 0, has_checks),
        row(C::Guided, "esc", A::Stop, "stop", "stop the checks that run; what is known stays", 5, is_running),
        row(C::Guided, "esc", A::Back, "back", "back to the start", 5, is_finished),

        row(C::Ask, "y", A::Yes, "yes", "yes, it is so", 1, always),
        row(C::Ask, "n", A::No, "no", "no, it is not", 1, always),
        row(C::Ask, "d", A::DontKnow, "don't know", "leave it open", 1, always),
        row(C::Ask, "esc", A::Back, "back", "leave it open", 2, always),

        // Fix.
        row(C::Fix, "y", A::Apply, "apply", "apply exactly what is shown", 1, can_apply),
        row(C::Fix, "o", A::OtherWay, "another way", "plan it the other way, where there is a choice", 2, can_choose),
        row(C::Fix, "y", A::Apply, "take it back", "take back exactly what is shown", 1, can_take_back),
        row(C::Fix, "u", A::Undo, "undo", "take the change back", 1, can_undo_fix),
        row(C::Fix, "enter", A::Accept, "to the diagnosis", "back to the diagnosis", 2, fix_is_over),
        row(C::Fix, "c", A::Copy, "copy as commands", "copy the steps as commands", 3, has_plan),
        row(C::Fix, "pagedown space down j", A::ScrollDown, "", "scroll down", 0, always),
        row(C::Fix, "pageup up k", A::ScrollUp, "", "scroll up", 0, always),
        row(C::Fix, "esc", A::Back, "leave everything as it is", "back; nothing is changed before your yes", 2, nothing_changed_yet),
        row(C::Fix, "esc", A::Back, "back", "back; a running change goes on to its end", 4, something_changed),

        row(C::Consent, "enter", A::Apply, "apply", "apply, once the word is typed", 1, consent_is_typed),
        row(C::Consent, "esc", A::Back, "leave everything as it is", "back; nothing is changed", 2, always),
        row(C::Consent, "pagedown down", A::ScrollDown, "", "scroll down", 0, always),
        row(C::Consent, "pageup up", A::ScrollUp, "", "scroll up", 0, always),

        row(C::Secret, "enter", A::Passphrase, "go on", "go on with this passphrase", 1, passphrase_is_typed),
        row(C::Secret, "esc", A::Back, "leave everything as it is", "back; nothing is changed", 2, always),
        row(C::Secret, "pagedown down", A::ScrollDown, "", "scroll down", 0, always),
        row(C::Secret, "pageup up", A::ScrollUp, "", "scroll up", 0, always),

        // Doors, journal.
        row(C::Doors, "enter s", A::Shell, "log in", "open a terminal through this way in", 1, door_gives_terminal),
        row(C::Doors, "enter", A::Accept, "how", "how to take this way in by hand", 1, door_gives_no_terminal),
        row(C::Doors, "h", A::ByHand, "by hand", "how to take this way in by hand", 2, door_gives_terminal),
        row(C::Doors, "y c", A::Copy, "copy", "copy the command that takes this way in elsewhere", 2, can_copy),
        row(C::Doors, "up k", A::Up, "", "up", 0, always),
        row(C::Doors, "down j", A::Down, "", "down", 0, always),
        row(C::Doors, "esc d", A::Back, "back", "back to the diagnosis", 2, always),

        row(C::Fleet, "enter", A::Accept, "diagnose", "diagnose the selected instance", 1, fleet_has_row),
        row(C::Fleet, "enter", A::Accept, "show, hide", "show or hide the instances of this cause", 1, fleet_has_group),
        row(C::Fleet, "/", A::Filter, "filter", "filter by name, id, address, Region, way in or cause", 2, always),
        row(C::Fleet, "e", A::Export, "export", "write port22-fleet.jsonl and .csv here", 4, fleet_has_rows),
        row(C::Fleet, "i", A::Inside, "look inside", "look inside all, read-only, after your consent", 5, fleet_is_done),
        row(C::Fleet, "r", A::Again, "run again", "look at the fleet again", 6, fleet_is_done),
        row(C::Fleet, "up k", A::Up, "", "up", 0, always),
        row(C::Fleet, "down j", A::Down, "", "down", 0, always),
        row(C::Fleet, "pageup ctrl-b", A::PageUp, "", "a page up", 0, always),
        row(C::Fleet, "pagedown ctrl-f", A::PageDown, "", "a page down", 0, always),
        row(C::Fleet, "home", A::First, "", "first line", 0, always),
        row(C::Fleet, "end G", A::Last, "", "last line", 0, always),
        row(C::Fleet, "esc", A::Stop, "stop", "stop; what is known stays", 3, fleet_is_running),
        row(C::Fleet, "esc", A::Back, "back", "clear the filter, then back to the start", 3, fleet_goes_back),

        row(C::FleetFilter, "enter", A::Accept, "keep it", "keep the filter, back to the list", 1, always),
        row(C::FleetFilter, "esc", A::Back, "clear filter", "clear the filter", 2, always),
        row(C::FleetFilter, "up", A::Up, "", "up", 0, always),
        row(C::FleetFilter, "down", A::Down, "", "down", 0, always),
        row(C::FleetFilter, "pageup", A::PageUp, "", "a page up", 0, always),
        row(C::FleetFilter, "pagedown", A::PageDown, "", "a page down", 0, always),

        row(C::Journal, "enter u", A::Undo, "undo", "show what undoing this change would do", 1, can_undo_entry),
        row(C::Journal, "g", A::Resume, "go on", "go on with a repair that was cut short", 1, can_resume_entry),
        row(C::Journal, "r", A::Again, "reload", "read the journal again", 3, always),
        row(C::Journal, "up k", A::Up, "", "up", 0, always),
        row(C::Journal, "down j", A::Down, "", "down", 0, always),
        row(C::Journal, "esc", A::Back, "back", "back", 2, always),

        // Shell.
        row(C::Shell, "ctrl-]", A::ShellKeys, "then  c command  z zoom  [ scroll back  q leave  ? help", "one key for port22; all others go to the other side", 1, always),

        row(C::ShellKeys, "c", A::Suggest, "command", "put the marked command at the prompt; it is not run", 1, has_suggestion::<0>),
        row(C::ShellKeys, "1 2 3 4 5 6 7 8 9", A::Choose(0), "", "put the command with this number at the prompt", 0, has_suggestion::<0>),
        row(C::ShellKeys, "down j", A::Down, "", "mark the next command", 0, has_suggestion::<1>),
        row(C::ShellKeys, "up k", A::Up, "", "mark the command before", 0, has_suggestion::<1>),
        row(C::ShellKeys, "z", A::Zoom, "zoom", "the terminal over the whole screen, and back", 2, always),
        row(C::ShellKeys, "[ pageup", A::ScrollBack, "scroll back", "look at what has scrolled off", 2, always),
        row(C::ShellKeys, "ctrl-]", A::SendEscape, "send Ctrl-]", "send Ctrl-] to the other side", 4, always),
        row(C::ShellKeys, "q", A::EndShell, "leave", "end the session and go back, after asking", 2, always),
        row(C::ShellKeys, "? f1", A::Help, "help", "this page", 3, always),
        row(C::ShellKeys, "esc", A::Back, "shell", "the keys go to the other side again", 1, always),

        row(C::ShellScroll, "up k", A::Up, "scroll", "a line up", 1, always),
        row(C::ShellScroll, "down j", A::Down, "", "a line down", 0, always),
        row(C::ShellScroll, "pageup ctrl-b", A::PageUp, "page", "a page up", 2, always),
        row(C::ShellScroll, "pagedown space ctrl-f", A::PageDown, "", "a page down", 0, always),
        row(C::ShellScroll, "home g", A::First, "oldest", "the oldest line", 3, always),
        row(C::ShellScroll, "end G", A::Last, "newest", "the newest line", 3, always),
        row(C::ShellScroll, "? f1", A::Help, "help", "this page", 4, always),
        row(C::ShellScroll, "esc q enter ctrl-] ctrl-c", A::Back, "shell", "back to what is there now", 1, always),

        row(C::ShellOver, "r", A::Again, "try again", "open the same way in again", 1, shell_may_open_again),
        row(C::ShellOver, "esc enter", A::Back, "back", "back to where you came from", 1, shell_is_over),
        row(C::ShellOver, "esc", A::Back, "stop", "stop opening, and go back", 1, shell_is_opening),
        row(C::ShellOver, "[ pageup", A::ScrollBack, "scroll back", "look at what has scrolled off", 2, shell_has_history),
        row(C::ShellOver, "z", A::Zoom, "zoom", "the terminal over the whole screen, and back", 3, shell_has_history),

        row(C::EndShell, "y", A::Yes, "end it", "end the session and go back", 1, always),
        row(C::EndShell, "esc n", A::Back, "stay", "stay in the session", 1, always),

        // Popups.
        row(C::Read, "y", A::Copy, "copy", "copy the commands", 1, can_copy),
        row(C::Read, "down j pagedown space", A::ScrollDown, "scroll", "scroll down", 3, always),
        row(C::Read, "up k pageup", A::ScrollUp, "", "scroll up", 0, always),
        row(C::Read, "esc enter q", A::Back, "close", "close", 2, always),

        row(C::Help, "down j pagedown space", A::ScrollDown, "scroll", "scroll down", 2, always),
        row(C::Help, "up k pageup", A::ScrollUp, "", "scroll up", 0, always),
        row(C::Help, "esc enter q ?", A::Back, "close", "close", 1, always),

        row(C::Palette, "enter", A::Accept, "do it", "do the selected action", 1, always),
        row(C::Palette, "up", A::Up, "", "up", 0, always),
        row(C::Palette, "down tab", A::Down, "", "down", 0, always),
        row(C::Palette, "esc", A::Back, "close", "close", 2, always),

        row(C::Switcher, "enter", A::Accept, "list it", "list the instances of the selected profile or Region", 1, always),
        row(C::Switcher, "up", A::Up, "", "up", 0, always),
        row(C::Switcher, "down tab", A::Down, "", "down", 0, always),
        row(C::Switcher, "pageup", A::PageUp, "", "a page up", 0, always),
        row(C::Switcher, "pagedown", A::PageDown, "", "a page down", 0, always),
        row(C::Switcher, "esc", A::Back, "stay", "stay with what is listed", 2, always),

        row(C::Lesson, "n", A::Hint, "next hint", "the next hint; it costs points", 1, crate::tui::update::practice::has_hint),
        row(C::Lesson, "y", A::Copy, "copy", "copy the commands", 2, can_copy),
        row(C::Lesson, "down j pagedown space", A::ScrollDown, "scroll", "scroll down", 3, always),
        row(C::Lesson, "up k pageup", A::ScrollUp, "", "scroll up", 0, always),
        row(C::Lesson, "esc enter l q", A::Back, "close", "close", 1, always),

        row(C::NameCause, "enter", A::Accept, "name it", "name the selected cause", 1, always),
        row(C::NameCause, "down j", A::Down, "", "down", 0, always),
        row(C::NameCause, "up k", A::Up, "", "up", 0, always),
        row(C::NameCause, "pagedown space", A::PageDown, "", "a page down", 0, always),
        row(C::NameCause, "pageup", A::PageUp, "", "a page up", 0, always),
        row(C::NameCause, "esc c", A::Back, "close", "close without doing anything", 1, always),

        row(C::Solved, "esc enter", A::Back, "close", "close", 1, always),
        row(C::Solved, "down j pagedown space", A::ScrollDown, "", "scroll down", 0, always),
        row(C::Solved, "up k pageup", A::ScrollUp, "", "scroll up", 0, always),
        row(C::Solved, "q", A::Leave, "quit", "leave the program", 2, always),

        row(C::Inside, "y", A::Yes, "look inside", "run the read-only script, then the checks again", 1, always),
        row(C::Inside, "esc n", A::Back, "no", "stay outside", 1, always),

        row(C::Export, "enter", A::ReportTo(Place::File), "write the file", "write the report into the current directory", 1, always),
        row(C::Export, "c y", A::ReportTo(Place::Clipboard), "copy", "copy the report to the clipboard", 2, always),
        row(C::Export, "r", A::Redact, "redact", "placeholders for names, ids and addresses, or not", 3, always),
        row(C::Export, "m", A::ReportForm(Form::Markdown), "Markdown", "as Markdown", 4, always),
        row(C::Export, "j", A::ReportForm(Form::Json), "JSON", "as JSON", 4, always),
        row(C::Export, "t", A::ReportForm(Form::Text), "text", "as one screen of text", 4, always),
        row(C::Export, "esc e q", A::Back, "cancel", "close without doing anything", 5, always),

        row(C::Columns, "space x", A::Toggle, "choose", "show the column, or not", 1, always),
        row(C::Columns, "left", A::Earlier, "", "move the column to the left", 0, always),
        row(C::Columns, "right", A::Later, "", "move the column to the right", 0, always),
        row(C::Columns, "s enter", A::SortNext, "sort", "sort by the column; again: the other way round", 2, always),
        row(C::Columns, "r", A::Again, "automatic", "as wide as the screen allows", 4, always),
        row(C::Columns, "y", A::Copy, "copy", "copy the lines for the settings file", 5, always),
        row(C::Columns, "up k", A::Up, "", "up", 0, always),
        row(C::Columns, "down j", A::Down, "", "down", 0, always),
        row(C::Columns, "pageup", A::PageUp, "", "a page up", 0, always),
        row(C::Columns, "pagedown", A::PageDown, "", "a page down", 0, always),
        row(C::Columns, "home", A::First, "", "first row", 0, always),
        row(C::Columns, "end G", A::Last, "", "last row", 0, always),
        row(C::Columns, "esc c q", A::Back, "close", "close; what is chosen stays", 1, always),

        row(C::Leave, "y", A::LeaveNow, "leave", "leave; the journal keeps what was begun", 1, always),
        row(C::Leave, "esc n", A::Back, "stay", "stay", 1, always),

        // Everywhere.
        row(C::Common, "l", A::Lesson, "lesson", "the lesson: story and hints (practice account)", 4, has_lesson),
        row(C::Common, "u", A::Journal, "journal", "changes made, and undo", 9, not_in_journal),
        row(C::Common, "m", A::Messages, "", "messages: what was told, newest first", 0, always),
        row(C::Common, "g", A::Guided, "", "guided or triage, for diagnoses", 0, always),
        row(C::Common, ":", A::Palette, "", "command palette: find an action by name", 0, always),
        row(C::Common, "q", A::Leave, "quit", "leave the program", 8, always),
        row(C::Common, "?", A::Help, "help", "this page", 1, always),
        row(C::Always, "f1", A::Help, "", "this page, also where text is typed", 0, always),
        row(C::Always, "ctrl-c", A::Leave, "", "leave the program", 0, always),
    ]
};

fn fleet(m: &Model) -> Option<&FleetList> {
    match m.stack.last() {
        Some(Screen::Fleet(list)) => Some(list),
        _ => None,
    }
}

fn fleet_has_row(m: &Model) -> bool {
    fleet(m).is_some_and(|list| list.selected_row().is_some())
}

fn fleet_has_group(m: &Model) -> bool {
    fleet(m).is_some_and(|list| list.selected_row().is_none() && !list.lines.is_empty())
}

fn fleet_has_rows(m: &Model) -> bool {
    fleet(m).is_some_and(|list| !list.rows.is_empty())
}

fn fleet_is_done(m: &Model) -> bool {
    fleet(m).is_some_and(|list| list.ended)
}

fn fleet_goes_back(m: &Model) -> bool {
    fleet(m).is_some_and(|list| list.ended || !list.filter.is_empty())
}

fn fleet_is_running(m: &Model) -> bool {
    !fleet_goes_back(m)
}

fn has_instance(m: &Model) -> bool {
    m.selected_row().is_some()
}

fn has_rows(m: &Model) -> bool {
    !m.start.rows.is_empty()
}

fn is_sorted(m: &Model) -> bool {
    m.start.sort.by.is_some()
}

fn filter_can_go(m: &Model) -> bool {
    m.selected_row().is_some() || crate::tui::update::start::typed_target(m).is_some()
}

fn list_is_done(m: &Model) -> bool {
    m.start.done
}

fn may_switch_back(m: &Model) -> bool {
    crate::tui::update::switcher::may_go_back(m)
}

fn start_can_clear(m: &Model) -> bool {
    !m.start.filter.is_empty() || m.start.paste.is_some()
}

fn has_choice<const N: usize>(m: &Model) -> bool {
    m.diagnosing().is_some_and(|d| crate::tui::update::diagnosis::choices(d).len() > N)
}

fn first(m: &Model) -> Option<Choice> {
    m.diagnosing().and_then(|d| crate::tui::update::diagnosis::choices(d).into_iter().next())
}

fn first_is_fix(m: &Model) -> bool {
    matches!(first(m), Some(Choice::Fix(_)))
}

fn first_is_try(m: &Model) -> bool {
    matches!(first(m), Some(Choice::TryAs(_)))
}

fn first_is_door(m: &Model) -> bool {
    matches!(first(m), Some(Choice::Enter(..)))
}

fn first_is_text(m: &Model) -> bool {
    matches!(first(m), Some(Choice::ByHand(_) | Choice::Explain))
}

fn first_is_login(m: &Model) -> bool {
    matches!(first(m), Some(Choice::CopyLogin))
}

fn door_gives_terminal(m: &Model) -> bool {
    crate::tui::update::diagnosis::selected_door(m).is_some()
}

fn door_gives_no_terminal(m: &Model) -> bool {
    !door_gives_terminal(m)
}

fn has_suggestion<const N: usize>(m: &Model) -> bool {
    m.shell().is_some_and(|s| s.commands.len() > N)
}

fn shell_is_opening(m: &Model) -> bool {
    m.shell().is_some_and(|s| s.phase == ShellPhase::Opening)
}

fn shell_is_over(m: &Model) -> bool {
    !shell_is_opening(m)
}

fn shell_may_open_again(m: &Model) -> bool {
    m.shell().is_some_and(|s| match &s.phase {
        ShellPhase::Failed(failure) => failure.kind != FailureKind::Refused,
        ShellPhase::Ended(_) => true,
        ShellPhase::Opening | ShellPhase::Open => false,
    })
}

fn shell_has_history(m: &Model) -> bool {
    m.shell().is_some_and(|s| s.frame.as_ref().is_some_and(|f| f.history > 0))
}

fn can_copy(m: &Model) -> bool {
    crate::tui::update::copy_text(m).is_some()
}

fn has_question(m: &Model) -> bool {
    m.diagnosing().is_some_and(|d| crate::tui::update::diagnosis::question_here(d, m.guided).is_some())
}

fn has_more_causes(m: &Model) -> bool {
    m.diagnosing().and_then(|d| d.diagnosis()).is_some_and(|d| d.causes.len() > 1)
}

fn has_checks(m: &Model) -> bool {
    m.diagnosing().is_some_and(|d| d.snapshot.is_some())
}

fn has_cause(m: &Model) -> bool {
    m.diagnosing().and_then(|d| d.diagnosis()).is_some_and(|d| !d.causes.is_empty())
}

/// Where something inside runs, and was not looked at yet.
fn may_look_inside(m: &Model) -> bool {
    let Some(d) = m.diagnosing().filter(|d| d.finished() && !d.request.inside) else { return false };
    d.snapshot.as_ref().and_then(|s| s.facts.instance()).is_some_and(|i| i.state == "running")
}

fn is_finished(m: &Model) -> bool {
    m.diagnosing().is_some_and(Diagnosing::finished)
}

fn is_running(m: &Model) -> bool {
    !is_finished(m)
}

fn has_lesson(m: &Model) -> bool {
    m.lesson().is_some()
}

fn may_name(m: &Model) -> bool {
    has_checks(m) && crate::tui::update::practice::may_name(m)
}

fn may_guess(m: &Model) -> bool {
    m.settings.lab && m.diagnosing().is_some_and(crate::tui::update::guided::may_guess)
}

fn can_apply(m: &Model) -> bool {
    !m.settings.read_only
        && m.fixing().is_some_and(|f| match &f.phase {
            Phase::Preview { plan, .. } => {
                let acts = plan.steps.iter().any(|s| s.action.is_some());
                f.undo.is_none() && acts && plan.refused().is_none() && !f.wants_typing(plan)
            }
            _ => false,
        })
}

fn can_choose(m: &Model) -> bool {
    m.fixing().is_some_and(|f| {
        f.undo.is_none()
            && matches!(&f.phase, Phase::Preview { plan, .. } if plan.choices.iter().any(|c| c.options.len() > 1) && !f.wants_typing(plan))
    })
}

fn can_take_back(m: &Model) -> bool {
    !m.settings.read_only && m.fixing().is_some_and(|f| f.undo.is_some() && matches!(f.phase, Phase::Preview { .. }))
}

fn not_in_journal(m: &Model) -> bool {
    !matches!(m.stack.last(), Some(Screen::Journal(_)))
}

fn consent_is_typed(m: &Model) -> bool {
    m.fixing().is_some_and(|f| match &f.phase {
        Phase::Preview { plan, typed } => {
            matches!(&plan.consent, crate::core::plan::Consent::Type(word) if typed.trim() == word)
        }
        _ => false,
    })
}

fn passphrase_is_typed(m: &Model) -> bool {
    m.fixing().is_some_and(|f| f.secret.count() > 0)
}

fn can_undo_fix(m: &Model) -> bool {
    !m.settings.read_only
        && m.fixing().is_some_and(|f| match &f.phase {
            Phase::Ended { result, .. } => crate::tui::update::fix::can_be_undone(f, result),
            _ => false,
        })
}

fn fix_is_over(m: &Model) -> bool {
    m.fixing().is_some_and(|f| matches!(f.phase, Phase::Ended { .. } | Phase::NoPlan(_)))
}

fn has_plan(m: &Model) -> bool {
    m.fixing().is_some_and(|f| f.plan().is_some_and(|p| p.steps.iter().any(|s| !s.command.is_empty())))
}

fn nothing_changed_yet(m: &Model) -> bool {
    m.fixing().is_some_and(|f| matches!(f.phase, Phase::Planning | Phase::NoPlan(_) | Phase::Preview { .. }))
}

fn something_changed(m: &Model) -> bool {
    !nothing_changed_yet(m)
}

fn can_resume_entry(m: &Model) -> bool {
    !m.settings.read_only
        && match m.stack.last() {
            Some(Screen::Journal(j)) => crate::tui::update::journal::selected(j)
                .is_some_and(|e| matches!(e.state, EntryState::Interrupted | EntryState::Failed)),
            _ => false,
        }
}

fn can_undo_entry(m: &Model) -> bool {
    !m.settings.read_only
        && match m.stack.last() {
            Some(Screen::Journal(j)) => crate::tui::update::journal::selected(j)
                .is_some_and(|e| !crate::engine::repair::undo_actions(e).is_empty()),
            _ => false,
        }
}
