//! Goes through a form once: finds what holds for each value, reads what came back for it, and says what to draw.
//!
//! Drawing and reading are one walk, so that what is read is what was drawn. What a condition or a chosen branch adds depends on
//! the answers, so an object is gone through again until nothing changes any more; what is not concerned is not done again.

mod choosing;
mod list;
mod object;

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::base::Base;
use super::decode::Context;
use super::field::{self, Body, Field};
use super::keys::KeyMaker;
use super::kinds::{self, Read, Sent};
use super::layout::Layout;
use super::posted::{Action, Posted, Verb};
use super::problems::Problem;
use super::say::{Heads, Say};
use super::view::{Control, Head, Input, Node};
use super::ways;
use crate::domain::path::{Path, Segment, escape};
use crate::domain::record::{Document, Keys};
use crate::domain::schema::{PartId, Parts, Shape, Types};
use crate::domain::{FieldError, diff, json};

/// How often an object is gone through until its conditions stand still. What goes in circles stays as it is then.
const ROUNDS: usize = 8;

/// Values that are drawn though they are not there; what lies beyond is opened by a button.
const UNASKED: usize = 1_500;

/// Objects within one another that are drawn though they are not there.
const UNASKED_DEPTH: usize = 6;

/// Objects and lists within one another that are drawn as such; what lies deeper is edited as its JSON text.
const DEEP: usize = 24;

/// What a control says of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Keep,
    Is(Value),
    /// What an object has to have once it is there; no answer of anybody.
    Implied(Value),
    Absent,
}

/// What came of one value.
#[derive(Clone)]
pub(super) struct Walked {
    pub node: Option<Node>,
    pub outcome: Outcome,
    pub problems: Vec<Problem>,
    /// The object as far as it is known, for its conditions.
    partial: Option<Map<String, Value>>,
}

impl Walked {
    fn nothing() -> Self {
        Self { node: None, outcome: Outcome::Keep, problems: Vec::new(), partial: None }
    }
}

/// A value that is asked for.
struct Ask<'v> {
    heads: &'v Heads,
    /// The property's name, or what an item is called.
    called: &'v str,
    required: bool,
    base: Option<&'v Value>,
    /// What the default of the object around it gives.
    given: Option<&'v Value>,
    /// What it is in is not in the record yet.
    fresh: bool,
    /// Where there is no value its default is shown.
    defaults: bool,
    shape: &'v Shape,
    /// It is an entry of a list: it is there since somebody added it.
    is_item: bool,
    /// A property beside it is called like a part of it, and so its own control can have none.
    is_whole: bool,
}

/// The whole form.
pub(super) struct Form {
    pub nodes: Vec<Node>,
    pub candidate: Document,
    pub problems: Vec<Problem>,
    /// What was posted for controls that are not in the form now; it comes back with them.
    pub parked: Vec<(String, Vec<String>)>,
    /// Whether answers decide which controls there are.
    pub is_live: bool,
}

/// Goes through a form with what was posted; `action` is the button that changes it, and whether it found what it speaks of.
pub(super) fn walk(
    layout: &Layout,
    base: &Base,
    posted: &Posted,
    context: Context,
    mut action: Option<(&Action, &mut bool)>,
) -> Form {
    let again = action.as_mut().map(|(action, done)| (*action, &mut **done));
    let (form, moves) = walk_once(layout, base, posted, context, again);
    if moves.is_empty() {
        return form;
    }
    walk_once(layout, base, &posted.moved(&moves), context, action).0
}

/// Also says which rows were named like a property that has a control.
fn walk_once(
    layout: &Layout,
    base: &Base,
    posted: &Posted,
    context: Context,
    action: Option<(&Action, &mut bool)>,
) -> (Form, Vec<(String, String)>) {
    let schema = layout.schema();
    let mut walk = Walk {
        parts: schema.parts(),
        layout,
        base,
        posted,
        context,
        maker: KeyMaker { secret: context.secret, submission: base.submission },
        action,
        path: Path::root(),
        name: String::new(),
        keys: base.document.keys.clone(),
        used: HashSet::new(),
        open: Vec::new(),
        unasked: 0,
        focus: false,
        is_live: false,
        moves: Vec::new(),
    };
    let heads = Heads::of(vec![walk.parts.root()]);
    let ask = Ask {
        heads: &heads,
        called: "",
        required: true,
        base: (!base.is_new()).then_some(&base.document.value),
        given: None,
        fresh: base.is_new(),
        defaults: base.is_new(),
        shape: schema.shape(),
        is_item: true,
        is_whole: false,
    };
    let walked = walk.value(&ask);
    let mut problems = walked.problems;
    let value = match walked.outcome {
        Outcome::Is(value) | Outcome::Implied(value) => json::sorted(value),
        Outcome::Keep | Outcome::Absent => base.document.value.clone(),
    };
    let parked = walk.leftovers(&mut problems);
    let nodes = match walked.node {
        Some(Node::Section(section)) => section.nodes,
        Some(other) => vec![other],
        None => Vec::new(),
    };
    let mut candidate = Document { value, keys: walk.keys };
    forget_lost_keys(&mut candidate);
    (Form { nodes, candidate, problems, parked, is_live: walk.is_live }, walk.moves)
}

/// Keys of groups that are not there any more.
fn forget_lost_keys(document: &mut Document) {
    let lost: Vec<Path> = document
        .keys
        .iter()
        .filter(|(place, keys)| {
            document.get(place).and_then(Value::as_array).is_none_or(|items| items.len() != keys.len())
        })
        .map(|(place, _)| place.clone())
        .collect();
    for place in lost {
        document.keys.remove(&place);
    }
}

struct Walk<'a> {
    parts: &'a Parts,
    layout: &'a Layout,
    base: &'a Base,
    posted: &'a Posted,
    context: Context<'a>,
    maker: KeyMaker<'a>,
    action: Option<(&'a Action, &'a mut bool)>,
    path: Path,
    name: String,
    keys: Keys,
    used: HashSet<&'a str>,
    /// What may come again inside of itself, of each value that one is inside of.
    open: Vec<Vec<PartId>>,
    unasked: usize,
    /// The next control is the first of what was added.
    focus: bool,
    is_live: bool,
    /// Rows named like properties.
    moves: Vec<(String, String)>,
}

/// One time of going through a value.
struct Turn<'t, 'a> {
    say: &'t Say<'a>,
    /// What held for the value as it was shown.
    was: Option<&'t Say<'a>>,
    known: Option<&'t Value>,
    memo: &'t mut Memo,
}

/// What was found for the properties of an object, to be used again where nothing concerns them.
type Memo = HashMap<String, (Heads, bool, Walked)>;

impl<'a> Walk<'a> {
    fn within<T>(&mut self, segment: Segment, then: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.name.len();
        self.name.push_str(match &segment {
            Segment::Property(_) => "/",
            Segment::Item(_) => "/@",
        });
        let (Segment::Property(step) | Segment::Item(crate::domain::path::ItemKey(step))) = &segment;
        // as a browser sends a name back
        let step = if step.contains('\r') { step.replace("\r\n", "\n").replace('\r', "\n") } else { step.clone() };
        self.name.push_str(&escape(&step));
        self.path.0.push(segment);
        let result = then(self);
        self.path.0.pop();
        self.name.truncate(length);
        result
    }

    /// The value posted under a name, or under a part of it; a name that came twice is a fault.
    fn part(&mut self, part: &str, problems: &mut Vec<Problem>) -> Option<&'a str> {
        let name = format!("{}#{part}", self.name);
        let (known, values) = self.posted.entry(&name)?;
        self.used.insert(known);
        if values.len() > 1 {
            problems.push(twice(&name));
        }
        values.first().map(String::as_str)
    }

    /// Marks a control and these parts of it as known.
    fn use_control(&mut self, parts: &[&str]) {
        let posted = self.posted;
        let own = posted.entry(&self.name);
        let parts = parts.iter().filter_map(|part| posted.entry(&format!("{}#{part}", self.name)));
        self.used.extend(own.into_iter().chain(parts).map(|(name, _)| name));
    }

    /// Names that no control of this form had: those that some answer could bring are kept for then, others are a fault.
    fn leftovers(&self, problems: &mut Vec<Problem>) -> Vec<(String, Vec<String>)> {
        let mut parked = Vec::new();
        for name in self.posted.names().filter(|name| !self.used.contains(name)) {
            if self.is_of_removed(name) {
                continue;
            }
            if !self.is_of_lost_row(name) && super::reach::leads_to(self.parts, name) {
                parked.push((name.to_owned(), self.posted.all(name).to_vec()));
                continue;
            }
            let shown: String = name.chars().take(80).collect();
            let message = format!("This form has no field \"{shown}\". Nothing was saved; load the form again.");
            problems.push(Problem::at("", FieldError::new(name, "name", message)));
        }
        parked
    }

    /// Whether a name is of what the button removes.
    fn is_of_removed(&self, name: &str) -> bool {
        let pressed = self.action.as_ref().map(|(action, _)| *action);
        let removed =
            pressed.filter(|action| action.verb == Verb::Remove).and_then(|action| name.strip_prefix(&*action.at));
        removed.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '#']))
    }

    /// Whether a name is of an entry that its list, as it was posted, does not have.
    fn is_of_lost_row(&self, name: &str) -> bool {
        name.match_indices("/@").any(|(at, _)| {
            let key = name[at + 1..].split(['/', '#']).next().unwrap_or_default();
            let marker = self.posted.get(&super::rows::marker(&name[..at]));
            marker.is_some_and(|keys| !keys.split('/').any(|own| own == key))
        })
    }

    fn head(&self, field: &Field) -> Head {
        Head {
            name: self.name.clone(),
            id: id(&self.name),
            label: field.label.clone(),
            hint: field.hint.clone(),
            optional: !field.required && !field.read_only,
            ..Head::default()
        }
    }

    fn value(&mut self, ask: &Ask) -> Walked {
        self.unasked += usize::from(ask.base.is_none());
        let choices = self.choices();
        let inferred: super::say::Choices = &|_, _| None;
        let mut say = Say::gather(self.parts, ask.heads, ask.base, ask.base, &choices);
        let mut memo = Memo::new();
        if !say.is_live() {
            return self.body(ask, &mut Turn { say: &say, was: None, known: ask.base, memo: &mut memo });
        }
        let mut known = ask.base.cloned();
        if known.is_none() && say.is_object() {
            known = Some(Value::Object(Map::new()));
            say = Say::gather(self.parts, ask.heads, known.as_ref(), ask.base, &choices);
        }
        // what held for the value as it was shown
        let was = ask.base.map(|base| Say::gather(self.parts, ask.heads, Some(base), Some(base), inferred));
        for round in 1.. {
            let mut turn = Turn { say: &say, was: was.as_ref(), known: known.as_ref(), memo: &mut memo };
            let mut walked = self.body(ask, &mut turn);
            let now = match (&walked.partial, &walked.outcome) {
                (Some(partial), _) => Some(Value::Object(partial.clone())),
                (None, Outcome::Keep) => ask.base.cloned(),
                (None, Outcome::Is(value) | Outcome::Implied(value)) => Some(value.clone()),
                (None, Outcome::Absent) => None,
            };
            if now == known || round == ROUNDS {
                return walked;
            }
            let next = Say::gather(self.parts, ask.heads, now.as_ref(), ask.base, &choices);
            let stands = next.is_same(&say) && next.words("dependentRequired").next().is_none();
            (known, say) = (now, next);
            if stands {
                return walked;
            }
            walked.problems.clear();
        }
        Walked::nothing()
    }

    fn body(&mut self, ask: &Ask, turn: &mut Turn<'_, 'a>) -> Walked {
        let say = turn.say;
        let field = Field::of(say, ask.called, ask.required);
        self.is_live |= say.is_live();
        if field.read_only {
            return self.shown_only(ask, &field);
        }
        let is_inside = self.open.len() >= DEEP && matches!(ask.base, Some(Value::Array(_) | Value::Object(_)));
        if ask.is_whole || is_inside {
            return self.control(ask, &field, &kinds::Json);
        }
        if say.is_object() {
            let is_only_hinted = say.types() == Types::ALL && !self.path.is_root();
            return match is_only_hinted && say.choosers.is_empty() {
                true => self.of_type(ask, turn, field, Types::ALL, Some(Types::OBJECT)),
                false => self.as_type(ask, turn, field, None),
            };
        }
        if !say.choosers.is_empty() {
            return self.chosen(ask, turn, field);
        }
        self.plain(ask, turn, field)
    }

    /// A value of which nothing has to be chosen first but its type, if there are several.
    fn plain(&mut self, ask: &Ask, turn: &mut Turn<'_, 'a>, field: Field) -> Walked {
        let (all, hinted) = (turn.say.types(), field::hinted(turn.say));
        let types = all.without(Types::NULL);
        let is_settled = types.is_one() || types == Types::NONE || !field.options.is_empty() || field.fixed.is_some();
        if is_settled {
            return self.as_type(ask, turn, field, None);
        }
        let usual = (all == Types::ALL && hinted.is_one()).then_some(hinted);
        self.of_type(ask, turn, field, all, usual)
    }

    /// A value of the type that is left, or of this one.
    fn as_type(&mut self, ask: &Ask, turn: &mut Turn<'_, 'a>, mut field: Field, typed: Option<Types>) -> Walked {
        match field::body(turn.say, &mut field, typed) {
            Body::Control(kind) => self.control(ask, &field, kind),
            Body::List => self.list(ask, turn.say, &field),
            Body::Object => match ask.base {
                None | Some(Value::Object(_)) => self.object(ask, turn, &field),
                Some(Value::Null) => {
                    let walked = self.object(&Ask { base: None, ..*ask }, turn, &field);
                    Walked {
                        outcome: match walked.outcome {
                            Outcome::Implied(_) => Outcome::Keep,
                            other => other,
                        },
                        ..walked
                    }
                }
                // another branch was chosen, and what is there is of none of its kind
                Some(_) if self.has_chosen_anew(turn) => {
                    over(self.object(&Ask { base: None, fresh: true, defaults: true, ..*ask }, turn, &field), ask.base)
                }
                Some(_) => self.control(ask, &field, &kinds::Json),
            },
            Body::Typed => self.control(ask, &field, &kinds::Json),
            Body::Nothing if ask.base.is_some() => {
                field.hint = Some("Not part of this form. It is kept as it is.".to_owned());
                self.shown_only(ask, &field)
            }
            Body::Nothing if !ask.required => Walked::nothing(),
            Body::Nothing => {
                let head = Head { hint: Some("No value fits here, whatever it is.".to_owned()), ..self.head(&field) };
                let input = Input::Fixed { text: String::new(), unit: None, json: None };
                Walked { node: Some(Node::Control(Control { head, input })), ..Walked::nothing() }
            }
        }
    }

    /// A value that is shown and not asked for.
    fn shown_only(&mut self, ask: &Ask, field: &Field) -> Walked {
        let (below, posted) = (format!("{}/", self.name), self.posted);
        self.use_control(&kinds::PARTS);
        self.used.extend(posted.beginning(below));
        let shown = self.shown(ask, field);
        let text = match shown {
            Some(value @ (Value::Array(_) | Value::Object(_))) => {
                serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
            }
            Some(value) => super::options::short(value),
            None => return Walked::nothing(),
        };
        let outcome = match (ask.base, shown) {
            (None, Some(default)) => Outcome::Is(default.clone()),
            _ => Outcome::Keep,
        };
        let input = Input::Fixed { text, unit: field.unit.clone(), json: None };
        let head = Head { optional: false, ..self.head(field) };
        Walked { outcome, node: Some(Node::Control(Control { head, input })), ..Walked::nothing() }
    }

    /// One control. A value that it cannot show is drawn by one that keeps it.
    fn control(&mut self, ask: &Ask, field: &Field, own: &'static dyn kinds::Kind) -> Walked {
        let shown = self.shown(ask, field).filter(|shown| ask.base.is_some() || own.shows(shown));
        let instead = kinds::instead_of(own, shown);
        let (kind, stands_in) = (instead.unwrap_or(own), instead.is_some());
        self.use_control(own.parts());
        let posted = self.posted;
        let mut problems = Vec::new();
        if posted.all(&self.name).len() > 1 && !own.takes_several() {
            problems.push(twice(&self.name));
        }
        let (name, mut head) = (self.name.clone(), self.head(field));
        head.focus = std::mem::take(&mut self.focus);
        // what cannot be another way is not asked
        head.optional &= field.fixed.is_none() || field.fixed == Some(Value::Bool(true));
        let sent = Sent { posted, name: &name, zone: self.context.zone, fresh: ask.fresh };
        let input = kind.draw(field, shown, &sent);
        let read = match kind.stands_in().filter(|_| stands_in) {
            Some(way) => kinds::read_text(own, way, &kinds::plain(shown), field, shown, &sent),
            None => kind.read(field, shown, &sent),
        };
        let is_json = kind.is_json();
        let outcome = match read {
            // an entry that can be but one thing is that; so is an answer that a condition fixed meanwhile
            Read::NotDrawn if ask.base.is_none() && self.is_fixed_by_answers(ask, field) => {
                field.fixed.clone().map_or(Outcome::Keep, Outcome::Is)
            }
            Read::NotDrawn => Outcome::Keep,
            Read::Same => match (ask.base, shown) {
                (Some(_), _) => Outcome::Keep,
                (None, Some(default)) => Outcome::Is(default.clone()),
                (None, None) => self.left_alone(ask, field, is_json, own.takes_several()),
            },
            Read::Cleared => match ask.base {
                None => Outcome::Keep,
                Some(_) if field.nullable && !is_json => Outcome::Is(Value::Null),
                Some(_) => Outcome::Absent,
            },
            Read::Is(value) if ask.base == Some(&value) => Outcome::Keep,
            Read::Is(value) => {
                if is_json {
                    self.found_again(ask, &value);
                }
                Outcome::Is(value)
            }
            Read::Implied(value) => Outcome::Implied(value),
            Read::Wrong { keyword, message } => {
                problems.push(Problem::at(&name, FieldError::new(&name, keyword, message)));
                Outcome::Keep
            }
        };
        Walked { node: Some(Node::Control(Control { head, input })), outcome, problems, partial: None }
    }

    fn is_fixed_by_answers(&self, ask: &Ask, field: &Field) -> bool {
        field.fixed.is_some()
            && (ask.is_item || (self.posted.get(&self.name).is_some() && self.constant(ask.heads).is_none()))
    }

    /// What an untouched control without a value means: nothing, but a new object's answer that must be there and may be null is
    /// null, and a list that must be there is empty.
    fn left_alone(&self, ask: &Ask, field: &Field, is_json: bool, is_list: bool) -> Outcome {
        match ask.fresh && field.required && !ask.is_item {
            true if is_list => Outcome::Implied(Value::Array(Vec::new())),
            true if field.nullable && !is_json => Outcome::Implied(Value::Null),
            _ => Outcome::Keep,
        }
    }

    /// What a control shows before anybody types: the value, or the default where nothing is there yet.
    fn shown<'v>(&self, ask: &Ask<'v>, field: &'v Field) -> Option<&'v Value> {
        let is_asked = field.fixed.is_none();
        // what looks like nothing is nothing that anybody was shown
        let is_seen = |value: &&Value| !value.is_null() && value.as_str() != Some("");
        let default = ask.given.or(field.default.as_ref()).filter(|_| ask.defaults && is_asked).filter(is_seen);
        ask.base.or(default)
    }

    /// A value that was entered as JSON where there usually are controls: its items are found again.
    fn found_again(&mut self, ask: &Ask, value: &Value) {
        if !matches!(ask.shape, Shape::Group(_) | Shape::Object(_)) {
            return;
        }
        let mut document = self.base.document.clone();
        let Some(there) = document.pointer(&self.path).and_then(|at| document.value.pointer_mut(&at)) else { return };
        *there = value.clone();
        let (maker, schema, path) = (self.maker, self.layout.schema(), &self.path);
        let matched = diff::match_items(schema, &self.base.document, document.value, &mut |at, n| maker.key(at, n));
        let below = |at: &Path| at.0.starts_with(&path.0);
        self.keys.retain(|at, _| !below(at));
        self.keys.extend(matched.keys.into_iter().filter(|(at, _)| below(at)));
    }

    /// Whether one is inside of the same already, so that drawing it unasked would never end; or far enough in.
    fn is_deep(&self, heads: &Heads) -> bool {
        if self.unasked > UNASKED || self.open.len() >= UNASKED_DEPTH {
            return true;
        }
        let own = self.recursive(heads);
        self.open.iter().any(|outer| outer.iter().any(|id| own.contains(id)))
    }

    fn recursive(&self, heads: &Heads) -> Vec<PartId> {
        let closures = heads.all.iter().flat_map(|&head| ways::closure(self.parts, head));
        closures.filter(|&id| self.parts[id].is_recursive).collect()
    }
}

/// What came of a form that began from nothing takes the place of what is there.
fn over(walked: Walked, base: Option<&Value>) -> Walked {
    match walked.outcome {
        Outcome::Keep if base.is_some() => Walked { outcome: Outcome::Absent, ..walked },
        _ => walked,
    }
}

fn twice(name: &str) -> Problem {
    let message = "This field was sent twice. Nothing was saved; load the form again.";
    Problem::at(name, FieldError::new(name, "name", message))
}

/// A short hash of a name, for the `id` attribute.
pub(super) fn id(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes());
    format!("f{}", data_encoding::BASE32_DNSSEC.encode(&hash.as_bytes()[..6]))
}
