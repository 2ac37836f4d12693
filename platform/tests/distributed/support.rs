//! The whole distributed stack on real servers: a process for each service, a database for each context, a namespace of its own.
#![expect(clippy::disallowed_methods, reason = "tests of real processes wait in real time, with bounds")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use seedwork::store::postgres;
use seedwork::testing::servers;
use serde_json::{Value, json};

/// Nothing in these tests takes longer than this on a machine that works.
pub const BOUND: Duration = Duration::from_secs(120);
/// Partitions of each context.
const PARTITIONS: &str = "4";
/// The services, in the order in which they are started.
pub const SERVICES: [&str; 4] = ["campaign", "partner", "tracking", "bff"];

/// Asks again and again until there is an answer; with a bound.
#[track_caller]
pub fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let from = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(from.elapsed() < BOUND, "after {BOUND:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub json: Value,
}

/// Databases, a namespace, and the processes that run over them; gone when it goes.
pub struct Stack {
    server: String,
    broker: String,
    admin: String,
    name: String,
    ports: BTreeMap<&'static str, u16>,
    processes: BTreeMap<String, Child>,
    /// Where each process said that it listens.
    addresses: BTreeMap<String, String>,
    /// Where PostgreSQL and Pulsar are for the processes, if not where they are.
    through: (Option<String>, Option<String>),
    /// The namespace that the processes are told, if not the test's own.
    pub namespace: Option<String>,
    agent: ureq::Agent,
}

impl Stack {
    /// Databases and a namespace, and nothing that runs yet. None, said loudly, when there are no servers.
    pub fn find() -> Option<Stack> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (server, broker, admin) = (servers::postgres()?, servers::pulsar()?, servers::pulsar_admin()?);
        let name = format!("walk_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        for context in bff::CONTEXTS {
            postgres::statements(&server, &format!("CREATE DATABASE {name}_{context}")).expect("a database for the test");
        }
        let agent =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(60))).build();
        let stack = Stack {
            server,
            broker,
            admin,
            name,
            ports: SERVICES.iter().map(|service| (*service, free_port())).collect(),
            processes: BTreeMap::new(),
            addresses: BTreeMap::new(),
            through: (None, None),
            namespace: None,
            agent: agent.into(),
        };
        let made = stack.agent.put(stack.namespace()).send_empty().expect("the administration of the broker answers");
        assert_eq!(made.status(), 204, "a namespace for the test");
        Some(stack)
    }

    fn namespace(&self) -> String {
        format!("{}/admin/v2/namespaces/public/{}", self.admin, self.name)
    }

    /// The binary with these arguments, told where the broker is and of nothing else.
    pub fn alpes(&self, arguments: &[&str]) -> Command {
        let mut command = bare();
        let broker = self.through.1.as_ref().unwrap_or(&self.broker);
        command.args(arguments).args(["--partitions", PARTITIONS, "--broker", broker, "--broker-admin", &self.admin]);
        let namespace = self.namespace.as_ref().unwrap_or(&self.name);
        command.args(["--broker-namespace", &format!("public/{namespace}")]);
        command
    }

    /// Starts every service and waits until each is ready.
    pub fn all(mut self) -> Stack {
        SERVICES.iter().for_each(|service| self.start(service));
        self
    }

    /// Starts a service and waits until it listens.
    pub fn start(&mut self, service: &'static str) {
        self.start_replica(service, service, self.ports[service]);
    }

    /// How a process of a service is started over such a database.
    pub fn command(&self, service: &str, database: &str, port: u16) -> Command {
        let mut command = self.alpes(&["serve", service, "--database", database, "--port", &port.to_string()]);
        command.stdin(Stdio::null());
        if service == "bff" {
            for context in bff::CONTEXTS {
                command.arg(format!("--services-{context}=http://127.0.0.1:{}", self.ports[context]));
            }
        }
        command
    }

    /// Starts one more process of a service, under a name of its own and on a port of its own.
    pub fn start_replica(&mut self, service: &'static str, name: &str, port: u16) {
        let (child, address) = listening(self.command(service, &self.database("{context}"), port));
        self.addresses.insert(name.to_owned(), address);
        self.processes.insert(name.to_owned(), child);
    }

    /// Starts a service and waits for nothing.
    pub fn launch(&mut self, service: &'static str) {
        let mut command = self.command(service, &self.database("{context}"), self.ports[service]);
        let child = command.stdout(Stdio::null()).spawn().expect("the binary starts");
        self.addresses.insert(service.to_owned(), format!("http://127.0.0.1:{}", self.ports[service]));
        self.processes.insert(service.to_owned(), child);
    }

    /// Starts a process that ends by itself: whether all was well, and what it said on its standard error.
    pub fn ends(mut command: Command) -> (bool, String) {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let status = until("it ends", || child.try_wait().expect("it can be waited for"));
        let mut said = String::new();
        let stderr = child.stderr.take().expect("its standard error");
        BufReader::new(stderr).read_to_string(&mut said).expect("it can be read");
        (status.success(), said)
    }

    /// The same databases, namespace and processes to come, with the servers at these ports.
    pub fn between(mut self, postgres: Option<u16>, pulsar: Option<u16>) -> Stack {
        let moved = |url: &str, port: u16| {
            let (place, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
            let path = rest.find('/').map_or("", |at| &rest[at..]);
            let user = rest.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
            format!("{place}{user}127.0.0.1:{port}{path}")
        };
        self.through = (postgres.map(|port| moved(&self.server, port)), pulsar.map(|port| moved(&self.broker, port)));
        self
    }

    /// The ports of the real servers: PostgreSQL's and Pulsar's.
    pub fn server_ports(&self) -> [u16; 2] {
        [&self.server, &self.broker].map(|url| {
            let place = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).expect("a place in the URL");
            place.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port in the URL")
        })
    }

    /// The process of this name.
    pub fn process(&self, name: &str) -> u32 {
        self.processes[name].id()
    }

    /// Kills a process at once (SIGKILL).
    pub fn kill(&mut self, name: &str) {
        let mut child = self.processes.remove(name).expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Sends a signal to a process.
    pub fn signal(&self, name: &str, signal: &str) {
        let pid = self.process(name).to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Tells a process to stop, and waits until it has: it has to say that all is well.
    pub fn stop(&mut self, name: &str) {
        self.signal(name, "-TERM");
        let mut child = self.processes.remove(name).expect("it runs");
        let status = child.wait().expect("it ends");
        assert!(status.success(), "{name} ended with {status}");
    }

    /// Where the process of this name listens.
    pub fn url(&self, name: &str) -> &str {
        &self.addresses[name]
    }

    /// Runs SQL in the database of a context.
    pub fn sql(&self, context: &str, statements: &str) {
        postgres::statements(&self.database(context), statements).expect("the statements run");
    }

    /// The broker's administration, and the namespace of this stack.
    pub fn topics(&self) -> (&str, String) {
        (&self.admin, format!("public/{}", self.name))
    }

    /// The URL of a context's database, as the processes are told it.
    pub fn database(&self, context: &str) -> String {
        let server = self.through.0.as_ref().unwrap_or(&self.server);
        format!("{}/{}_{context}", server.rsplit_once('/').expect("a database in the URL").0, self.name)
    }

    /// Copies the database of a context, as it is now. Nobody may use it.
    pub fn keep_copy(&self, context: &str) {
        let name = &self.name;
        let copy = format!("CREATE DATABASE {name}_copy TEMPLATE {name}_{context}");
        // The server notices a while after a process that its connections are gone.
        until("the database can be copied", || postgres::statements(&self.server, &copy).ok());
    }

    /// Puts that copy in the place of the database.
    pub fn put_copy_back(&self, context: &str) {
        let name = &self.name;
        let drop = format!("DROP DATABASE {name}_{context} WITH (FORCE)");
        postgres::statements(&self.server, &drop).expect("the database can be dropped");
        let back = format!("ALTER DATABASE {name}_copy RENAME TO {name}_{context}");
        postgres::statements(&self.server, &back).expect("the copy can be renamed");
    }

    /// Asks a service.
    pub fn get_at(&self, service: &str, path: &str) -> Answer {
        answer(self.agent.get(format!("{}{path}", self.url(service))).call())
    }

    /// Asks a process as another replica would that cannot answer itself.
    pub fn get_sent_on(&self, name: &str, path: &str) -> Answer {
        answer(self.agent.get(format!("{}{path}", self.url(name))).header("alpes-sent-on", "1").call())
    }

    /// Asks a process for what is known in a version, and lets it wait for another: the answer, and its version.
    pub fn changed_at(&self, name: &str, path: &str, known: &str, wait: u32) -> (Answer, String) {
        let request = self.agent.get(format!("{}{path}", self.url(name)));
        let told = request.header("if-none-match", known).header("prefer", format!("wait={wait}")).call();
        let tag = told.as_ref().ok().and_then(|told| told.headers().get("etag")?.to_str().ok());
        let tag = tag.unwrap_or_default().to_owned();
        (answer(told), tag)
    }

    /// The body of an answer that does not end by itself.
    pub fn stream(&self, name: &str, path: &str, last: Option<&str>) -> Result<ureq::Body, Answer> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.get(format!("{}{path}", self.url(name)));
        let request = if let Some(last) = last { request.header("last-event-id", last) } else { request };
        match request.call() {
            Ok(response) if response.status() == 200 => Ok(response.into_body()),
            told => Err(answer(told)),
        }
    }

    /// The subscriptions that the broker has for a topic of this test's.
    pub fn subscriptions(&self, topic: &str) -> Vec<String> {
        let stats = format!("{}/admin/v2/persistent/public/{}/{topic}/stats", self.admin, self.name);
        let told = answer(self.agent.get(stats).call());
        let subscriptions = told.json["subscriptions"].as_object().unwrap_or_else(|| panic!("{told:?}"));
        subscriptions.keys().cloned().collect()
    }

    /// Has the broker give up all topics of this test's, and take them anew.
    pub fn unload(&self) {
        let done =
            self.agent.put(format!("{}/unload", self.namespace())).send_empty().expect("the broker's administration answers");
        assert_eq!(done.status(), 204, "the topics are moved");
    }

    /// Asks the edge.
    pub fn get(&self, path: &str) -> Answer {
        self.get_at("bff", path)
    }

    /// Posts JSON to the edge, and waits so many seconds for the outcome.
    pub fn post(&self, path: &str, wait: u32, body: &Value) -> Answer {
        self.send("POST", path, &[], wait, body)
    }

    /// Sends a request with JSON to the edge, and waits so many seconds for the outcome.
    pub fn send(&self, method: &str, path: &str, headers: &[(&'static str, String)], wait: u32, body: &Value) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url("bff")));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if wait > 0 {
            request = request.header("prefer", format!("wait={wait}"));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.header("content-type", "application/json").body(body).expect("a request of the right form");
        answer(self.agent.run(request))
    }

    /// Posts an operator's decision to the process of this name, as somebody.
    pub fn decide_at(&self, name: &str, actor: &str, path: &str, body: &Value) -> Answer {
        let request = self.agent.post(format!("{}{path}", self.url(name))).content_type("application/json");
        answer(request.header("alpes-actor", actor).send(body.to_string()))
    }

    /// Waits until a saga of a campaign has ended, and says how.
    #[track_caller]
    pub fn ended(&self, campaign: &str) -> String {
        until(&format!("the saga of {campaign} has ended"), || {
            let told = self.get(&format!("/v1/sagas?context=campaign&key={campaign}"));
            let status = told.json["items"][0]["status"].as_str()?.to_owned();
            matches!(status.as_str(), "completed" | "undone").then_some(status)
        })
    }
}

/// The binary, told nothing by this environment.
pub fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alpes"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("ALPES_")) {
            command.env_remove(name);
        }
    }
    command
}

/// Starts a server, waits until it listens, and says where.
#[track_caller]
pub fn listening(mut command: Command) -> (Child, String) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the binary starts");
    let mut line = String::new();
    let out = child.stdout.take().expect("its standard output");
    BufReader::new(out).read_line(&mut line).expect("it says something");
    let url = line.split_whitespace().find(|word| word.starts_with("http://"));
    let url = url.unwrap_or_else(|| panic!("it does not listen: {line:?}")).to_owned();
    (child, url)
}

fn answer(told: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    match told {
        Ok(mut response) => {
            let status = response.status().as_u16();
            let text = response.body_mut().read_to_string().unwrap_or_default();
            Answer { status, json: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
        }
        Err(error) => Answer { status: 0, json: Value::String(error.to_string()) },
    }
}

/// A port at which nobody listens.
pub fn free_port() -> u16 {
    let socket = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    socket.local_addr().expect("its address").port()
}

impl Drop for Stack {
    fn drop(&mut self) {
        for child in self.processes.values_mut() {
            // A process that was stopped does not hear that it should go.
            let _gone = Command::new("kill").args(["-CONT", &child.id().to_string()]).status();
            let _gone = child.kill();
            let _gone = child.wait();
        }
        let mut troubles = Vec::new();
        for context in bff::CONTEXTS {
            let drop = format!("DROP DATABASE IF EXISTS {}_{context} WITH (FORCE)", self.name);
            troubles.extend(postgres::statements(&self.server, &drop).err().map(|error| error.to_string()));
        }
        let gone = self.agent.delete(format!("{}?force=true", self.namespace())).call();
        troubles.extend(gone.err().map(|error| error.to_string()));
        for trouble in troubles {
            let _said = writeln!(std::io::stderr(), "something of a test is left: {trouble}");
        }
    }
}

/// A campaign as `/v1` takes it: so many partners, each its own.
pub fn campaign(id: &str, brand: &str, partners: usize) -> Value {
    let people =
        (1..=partners).map(|number| json!({"id": format!("p-{id}-{number}"), "kind": "influencer", "name": "Alice Doe"}));
    json!({
        "id": id, "name": "Moda", "brand": brand, "budget": {"amount": "10.00", "currency": "USD"},
        "participants": people.collect::<Vec<_>>(),
    })
}
