//! Forms of every keyword: a type that has them all, blank, filled in and refused.

use super::*;

const CONTEXT: Context = Context { secret: &[7; 32], zone: "+02:00" };

fn layout() -> Layout {
    let schema = json!({
        "type": "object", "title": "Site visit", "x-title": "/place", "required": ["place", "contact", "state"],
        "properties": {
            "place": {"type": "string", "title": "Place", "description": "As on the map at the gate."},
            "state": {"title": "State of the site", "enum": ["open", "closed", "flooded"]},
            "contact": {
                "title": "Whom to reach",
                "oneOf": [
                    {"title": "By phone", "type": "object", "required": ["phone"], "properties": {"phone": {"type": "string", "title": "Phone"}}},
                    {"title": "By e-mail", "type": "object", "required": ["email"], "properties": {"email": {"type": "string", "format": "email", "title": "E-mail"}}},
                    {"title": "Nobody", "description": "The site is not manned.", "type": "object", "required": ["nobody"], "properties": {"nobody": {"const": true, "title": "I have asked at the gate"}}}
                ]
            },
            "reading": {"title": "Reading", "description": "A number, or the word on the display.", "type": ["number", "string"]},
            "labels": {"title": "Labels", "type": "object", "additionalProperties": {"type": "string"}},
            "position": {
                "title": "Position", "type": "array", "minItems": 2, "items": false,
                "prefixItems": [{"title": "Latitude", "type": "number"}, {"title": "Longitude", "type": "number"}]
            },
            "area": {"$ref": "#/$defs/area"},
            "agreed": {"const": true, "title": "The owner agreed to the visit"},
            "checked": {"title": "Checked", "type": "array", "uniqueItems": true, "items": {"enum": ["fence", "gate", "pumps"]}},
            "form": {"const": "SV-2", "title": "Form"}
        },
        "if": {"properties": {"state": {"const": "flooded"}}, "required": ["state"]},
        "then": {"required": ["depth"], "properties": {"depth": {"type": "number", "title": "Depth of the water", "x-unit": "cm", "minimum": 1}}},
        "$defs": {"area": {"type": "object", "title": "Area", "properties": {
            "name": {"type": "string", "title": "Name"}, "inside": {"$ref": "#/$defs/area", "title": "Area inside"}}}}
    });
    Layout::of(Arc::new(Schema::compile(&schema).unwrap_or_else(|errors| panic!("{errors:?}"))))
}

/// What each page shows.
#[derive(Clone, Copy)]
pub enum State {
    Blank,
    Filled,
    Refused,
}

/// Somebody fills in the form step by step, pressing what it offers.
fn press(layout: &Layout, base: &Base, pairs: &mut Vec<(String, String)>, verb: Verb, at: &str, number: Option<usize>) {
    let action = Action { verb, at: at.to_owned(), number };
    let form = Form::reshaped(layout, base, &Posted::read(pairs.clone()), CONTEXT, &action).expect("the form has it");
    if verb == Verb::Choose {
        let part = if at == "/reading" { "type" } else { "choice" };
        let token = if part == "type" { "string".to_owned() } else { number.unwrap_or_default().to_string() };
        pairs.retain(|(name, _)| *name != format!("{at}#{part}"));
        pairs.push((format!("{at}#{part}"), token));
    }
    let html = Html::parse_fragment(&render(form));
    for marker in select(&html, "input[type=hidden][name$='#items']") {
        let (name, value) = (marker.attr("name").unwrap_or_default(), marker.attr("value").unwrap_or_default());
        pairs.retain(|(known, _)| known != name);
        pairs.push((name.to_owned(), value.to_owned()));
    }
}

/// The form of every keyword at this stage.
pub fn every(stage: State) -> String {
    let layout = layout();
    let name = TypeName::custom("site-visit").expect("a good name");
    let base = Base::new_record(name, RecordId::from_u128(1), RevisionId(8), SaveId(3));
    if let State::Blank = stage {
        return render(Form::open(&layout, &base, CONTEXT));
    }
    let mut pairs: Vec<(String, String)> = [("/place", "Weir 4"), ("/agreed#shown", "1"), ("/position#items", "")]
        .map(|(n, v)| (n.into(), v.into()))
        .to_vec();
    let json = |value: Value| value.to_string();
    let token = |pairs: &[(String, String)], value: Value| {
        let form = Form::again(&layout, &base, &Posted::read(pairs.to_vec()), CONTEXT, Vec::new(), Vec::new());
        let html = Html::parse_fragment(&render(form));
        let found =
            select(&html, "[data-json]").into_iter().find(|own| own.attr("data-json") == Some(&*json(value.clone())));
        found.and_then(|own| own.attr("value")).expect("it is on offer").to_owned()
    };
    let flooded = token(&pairs, json!("flooded"));
    pairs.push(("/state".into(), flooded));
    pairs.retain(|(name, _)| name != "/position#items");
    press(&layout, &base, &mut pairs, Verb::Choose, "/contact", Some(1));
    press(&layout, &base, &mut pairs, Verb::Choose, "/reading", Some(0));
    pairs.push(("/reading".into(), "ERR 7".into()));
    for (label, value) in [("colour", "red"), ("key", "")] {
        press(&layout, &base, &mut pairs, Verb::Add, "/labels", None);
        let rows =
            pairs.iter().find(|(name, _)| name == "/labels#items").map(|(_, rows)| rows.clone()).unwrap_or_default();
        let row = format!("/labels/{}", rows.rsplit('/').next().unwrap_or_default());
        pairs.push((format!("{row}#name"), label.into()));
        pairs.push((row, value.into()));
    }
    let rows =
        pairs.iter().find(|(name, _)| name == "/position#items").map(|(_, rows)| rows.clone()).unwrap_or_default();
    if let Some(second) = rows.rsplit('/').next() {
        pairs.push((format!("/position/{second}"), "7.1".into()));
    }
    if let State::Filled = stage {
        pairs.push(("/contact/email".into(), "gate@example.org".into()));
        pairs.push(("/depth".into(), "40".into()));
    }
    let posted = Posted::read(pairs);
    let (errors, standing) = match stage {
        State::Refused => {
            let decoded = decode(&layout, &base, &posted, CONTEXT);
            (decoded.errors, decoded.standing)
        }
        _ => (Vec::new(), Vec::new()),
    };
    render(Form::again(&layout, &base, &posted, CONTEXT, errors, standing))
}

fn render(form: Form) -> String {
    let view = FormView {
        form,
        action: "/records/site-visit/new".into(),
        csrf: "t".into(),
        title: "Site visit".into(),
        save: "Save site visit".into(),
        leave: "/records/site-visit".into(),
        state: "Not saved yet".into(),
    };
    view.render().expect("a form")
}
