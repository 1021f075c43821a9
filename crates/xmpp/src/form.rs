//! Data forms (XEP-0004), as far as rooms need them.

use crate::element::Element;
use crate::ns;

/// A form: fields by name, each with its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    fields: Vec<(String, Vec<String>)>,
}

impl Form {
    /// A form of this `FORM_TYPE`.
    #[must_use]
    pub fn new(form_type: &str) -> Self {
        Self::default().with("FORM_TYPE", form_type)
    }

    /// With one more field of one value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), vec![value.into()]));
        self
    }

    /// The first value of a field; empty when the field has none.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find_map(|(n, values)| (n == name).then(|| values.first().map_or("", String::as_str)))
    }

    /// A field that says yes or no: `1`, `0`, `true` or `false`.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.value(name)? {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        }
    }

    /// Reads an `<x>`, or the one inside a query.
    #[must_use]
    pub fn read(element: &Element) -> Option<Self> {
        let x = if element.is("x", ns::DATA_FORMS) {
            element
        } else {
            element.child("x", ns::DATA_FORMS)?
        };
        let values = |field: &Element| {
            field
                .children()
                .filter(|c| c.is("value", ns::DATA_FORMS))
                .map(Element::text)
                .collect()
        };
        Some(Self {
            fields: x
                .children()
                .filter(|c| c.is("field", ns::DATA_FORMS))
                .filter_map(|field| Some((field.attr("var")?.to_owned(), values(field))))
                .collect(),
        })
    }

    /// As an `<x>`; `kind` is its type: `form`, `submit` or `result`.
    #[must_use]
    pub fn to_element(&self, kind: &str) -> Element {
        let mut x = Element::new("x", ns::DATA_FORMS).with_attr("type", kind);
        for (name, values) in &self.fields {
            let hidden = name == "FORM_TYPE";
            x.push(
                Element::new("field", ns::DATA_FORMS)
                    .with_attr("var", name.as_str())
                    .with_attr_opt("type", hidden.then_some("hidden"))
                    .with_children(values.iter().map(|value| {
                        Element::new("value", ns::DATA_FORMS).with_text(value.as_str())
                    })),
            );
        }
        x
    }
}
