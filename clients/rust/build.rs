//! Generate the stubs, and from the options of the contract what the connection knows of each RPC.

use std::{env, error::Error, fmt::Write, fs, iter, path::Path};

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value};

/// Fields that no `Debug` shows: with the first a person joins, the others are secrets or personal.
const HIDDEN: [&str; 6] = ["token", "credential", "api_secret", "private_key", "secret", "data"];

fn main() -> Result<(), Box<dyn Error>> {
    // A published crate has the contract in it; in the repository it is at the root.
    let protos = ["protos", "../../protos"].into_iter().find(|folder| Path::new(folder).is_dir()).ok_or("no protos")?;
    println!("cargo::rerun-if-changed={protos}");
    let mut compiler = protox::Compiler::new([protos])?;
    for entry in fs::read_dir(Path::new(protos).join("tokenauthority/v1"))? {
        compiler.include_imports(true).include_source_info(true).open_file(entry?.path())?;
    }
    let pool = compiler.descriptor_pool();
    let hidden = hiding_messages(&pool);
    tonic_prost_build::configure()
        .build_server(false)
        .skip_debug(hidden.iter().map(|message| format!(".{}", message.full_name())))
        .compile_fds(compiler.file_descriptor_set())?;
    let generated = format!("{}\n{}", methods(&pool)?, debugs(&hidden)?);
    fs::write(Path::new(&env::var("OUT_DIR")?).join("contract.rs"), generated)?;
    Ok(())
}

/// The messages whose own fields must not be shown.
fn hiding_messages(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    let hides = |field: &FieldDescriptor| HIDDEN.contains(&field.name()) && field.kind().as_message().is_none();
    let messages = pool.all_messages().filter(|message| message.package_name() == "tokenauthority.v1");
    messages.filter(|message| message.fields().any(|field| hides(&field))).collect()
}

/// A `Debug` of these messages and their oneofs that shows their names, and nothing in them.
fn debugs(hidden: &[MessageDescriptor]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for message in hidden {
        let module = message.name().to_snake_case();
        let oneofs = message.oneofs().map(|oneof| (format!("{module}::"), oneof.name().to_upper_camel_case()));
        for (module, name) in iter::once((String::new(), message.name().to_owned())).chain(oneofs) {
            writeln!(
                text,
                "impl std::fmt::Debug for crate::v1::{module}{name} {{
                    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{
                        formatter.debug_struct({name:?}).finish_non_exhaustive()
                    }}
                }}"
            )?;
        }
    }
    Ok(text)
}

/// A function from the path of an RPC to what the contract says about it.
fn methods(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut text = String::from(
        "#[allow(clippy::match_same_arms)]\npub(crate) fn method(path: &str) -> Method {\n    match path {\n",
    );
    for service in pool.services() {
        for method in service.methods() {
            let streams = method.is_server_streaming();
            let retried = retried_codes(pool, &method)?;
            let path = format!("/{}/{}", service.full_name(), method.name());
            writeln!(text, "        {path:?} => Method {{ streams: {streams}, retried: &[{retried}] }},")?;
        }
    }
    text.push_str("        _ => Method { streams: false, retried: &[] },\n    }\n}\n");
    Ok(text)
}

/// The codes on which a client may repeat *method*, as Rust source: none if each call makes something new.
fn retried_codes(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<&'static str, Box<dyn Error>> {
    let options = method.options();
    let level = options.get_field_by_name("idempotency_level").ok_or("no idempotency_level")?;
    let extension = pool
        .get_extension_by_name("tokenauthority.v1.retry_on_unavailable_only")
        .ok_or("no retry_on_unavailable_only")?;
    let unavailable_only = options.get_extension(&extension).as_bool() == Some(true);
    Ok(match (level.as_ref(), unavailable_only) {
        _ if method.is_server_streaming() => "",
        (Value::EnumNumber(0), _) => "",
        (_, true) => "tonic::Code::Unavailable",
        (_, false) => "tonic::Code::Unavailable, tonic::Code::Cancelled",
    })
}
