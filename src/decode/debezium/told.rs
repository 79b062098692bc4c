//! What was told of schemas that are in a registry: each is read once, into what its records need.

use std::sync::Arc;

use hashbrown::HashMap;

use super::avro::AvroPlan;
use super::json_schema;
use super::protobuf::ProtobufPlan;
use super::schema::Schema as TextSchema;
use crate::decode::{avro, protobuf};
use crate::model::schema::Part;
use crate::model::{Definition, SchemaId, Wanted};

/// Most schemas that are kept; past it all are forgotten and asked for again.
const MAX_SCHEMAS: usize = 4_096;

/// Most bytes of the texts of all schemas that are kept, likewise.
const MAX_SCHEMA_BYTES: usize = 64 << 20;

/// What is known of a schema.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    Avro(Arc<AvroPlan>),
    Protobuf(Arc<ProtobufPlan>),
    /// Of records in JSON; none where the schema says nothing of Connect's types.
    Text(Option<Arc<TextSchema>>),
}

/// Schemas that were told, by id.
#[derive(Debug, Default)]
pub(super) struct Told {
    plans: HashMap<SchemaId, Result<Plan, Arc<str>>>,
    bytes: usize,
}

impl Told {
    pub(super) fn learn(&mut self, id: SchemaId, definition: &Definition) {
        if self.plans.len() >= MAX_SCHEMAS || self.bytes + definition.bytes() > MAX_SCHEMA_BYTES {
            *self = Told::default();
        }
        self.bytes += definition.bytes();
        let plan = plan(definition).map_err(|reason| Arc::from(format!("its {id} cannot be read: {reason}")));
        self.plans.insert(id, plan);
    }

    pub(super) fn get(&self, id: SchemaId, part: Part) -> Result<Result<Plan, Arc<str>>, Wanted> {
        self.plans.get(&id).cloned().ok_or(Wanted { id, part })
    }
}

fn plan(definition: &Definition) -> Result<Plan, String> {
    match &*definition.language {
        "AVRO" => avro::Schema::read(definition).map(|schema| Plan::Avro(Arc::new(AvroPlan::of(schema)))),
        "PROTOBUF" => {
            protobuf::Schema::read(definition).map(|schema| Plan::Protobuf(Arc::new(ProtobufPlan::of(schema))))
        }
        "JSON" => json_schema::read(definition).map(|schema| Plan::Text(schema.map(Arc::new))),
        "KCONNECT" => TextSchema::read(&definition.text).map(|schema| Plan::Text(Some(Arc::new(schema)))),
        other => Err(format!("it is written in {other}; this version reads AVRO, PROTOBUF, JSON and KCONNECT")),
    }
}
