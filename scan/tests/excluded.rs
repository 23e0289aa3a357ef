//! Credentials that what is passed over must not take with it: each stands where something near it, in its name, its value or
//! its surroundings, resembles a reason to pass over it.

use crate::scanner;

/// Made-up values, cut into parts: a key, a password, a number in hexadecimal, a password of words, a weak
/// one.
const KEY: &[&str] = &["q8Zr4Lk0", "Pw2Vx7Nd5", "Ty1Bm6Hc3"];
const PASSWORD: &[&str] = &["Zr4!Lk0", "Pw2Vx7"];
const HEX: &[&str] = &["9f3c1e77ab0d4c55", "12ee8bd10a6f27c4", "83d95e1b"];
const WORDS: &[&str] = &["blauwe-", "Fiets77"];
const WEAK: &[&str] = &["zomer", "fiets77"];

/// Files with a credential at `@@`.
const CASES: &[(&str, &str, &[&str])] = &[
    (".env", "DB_PASSWORD=@@\n", PASSWORD),
    (".env.example", "DB_HOST=db.internal\nDB_PASSWORD=@@\n", PASSWORD),
    ("tests/fixtures/.env", "API_TOKEN=@@\n", KEY),
    ("test/data/app.yaml", "mail:\n  user: robot\n  password: @@\n", WORDS),
    ("spec/fixtures/settings.yml", "production:\n  secret_key: @@\n", HEX),
    ("examples/client.py", "client = Client(api_key=\"@@\")\n", KEY),
    ("docs/setup.md", "export API_TOKEN=@@\n", KEY),
    ("__tests__/login.test.js", "const password = '@@';\n", PASSWORD),
    ("src/test/resources/application.properties", "spring.datasource.password=@@\n", PASSWORD),
    ("fixtures/data.json", "{\"user\": \"ops\", \"password\": \"@@\"}\n", WORDS),
    ("sample.tf", "provider \"x\" {\n  token = \"@@\"\n}\n", KEY),
    ("variables.tf", "variable \"db_password\" {\n  default = \"@@\"\n}\n", PASSWORD),
    ("Dockerfile", "ENV API_TOKEN=@@\n", KEY),
    ("Dockerfile", "ARG DB_PASSWORD=@@\n", PASSWORD),
    ("Dockerfile", "RUN curl -u ci:@@ https://repo.internal/x\n", PASSWORD),
    ("deploy.sh", "mysql -u root -p@@ shop < dump.sql\n", PASSWORD),
    ("deploy.sh", "export NON_PROD_API_KEY=@@\n", KEY),
    ("deploy.sh", "export FAKE_GATEWAY_PASSWORD=@@\n", PASSWORD),
    ("deploy.sh", "export FAKE_GATEWAY_PASSWORD=@@\n", WORDS),
    ("deploy.sh", "export INVALID_TOKEN_ALERT_PASSWORD=@@\n", WORDS),
    ("deploy.sh", "export INVALID_PASSWORD=@@\n", PASSWORD),
    ("deploy.sh", "export RESEND_KEYS=@@\n", KEY),
    ("deploy.sh", "sshpass -p '@@' ssh ops@host.internal\n", PASSWORD),
    ("secret.yaml", "apiVersion: v1\nkind: Secret\nstringData:\n  password: @@\n", PASSWORD),
    ("values.yaml", "auth:\n  rootPassword: \"@@\"\n", PASSWORD),
    ("app.config", "<add key=\"ApiToken\" value=\"@@\" />\n", KEY),
    ("Info.plist", "<key>ApiToken</key>\n<string>@@</string>\n", KEY),
    ("settings.xml", "<key>@@</key>\n<name>shop</name>\n", KEY),
    ("settings.xml", "<key>@@</key>\n<realm>shop</realm>\n", KEY),
    ("settings.xml", "<key>@@</key>\n<database>shop</database>\n", KEY),
    ("settings.xml", "<key>@@</key>\n<stringTimeout>5</stringTimeout>\n", KEY),
    ("appsettings.json", "\"Db\": \"Server=db;User Id=sa;Password=@@;\"\n", PASSWORD),
    ("app.rb", "DATABASE_URL = 'postgres://shop:@@@db.internal/shop'\n", PASSWORD),
    ("app.rb", "REDIS_URL = 'redis://:@@@r/0'\n", KEY),
    ("app.rb", "url = 'mysql://user:@@@db/shop'\n", PASSWORD),
    ("app.rb", "url = 'amqp://ops:@@@mq.example.internal/'\n", PASSWORD),
    ("app.rb", "url = 'https://ops:@@@example.corp.internal/'\n", WEAK),
    ("app.rb", "url = 'https://ops:@@@my-example.com/'\n", WEAK),
    ("main.go", "token := []byte(\"@@\")\n", KEY),
    ("main.go", "Tokens: []string{\"@@\"},\n", KEY),
    ("tokens.yml", "tokens:\n  AuthKit: @@\n  other: x\n", HEX),
    ("vars.yml", "PASS: @@\nUSER: joe\n", PASSWORD),
    ("vars.yml", "HOST: a\nPASS: @@\nPORT: 5432\n", PASSWORD),
    ("run.log", "PASS: login works\nDB_PASS: @@\n", PASSWORD),
    ("crypto.go", "key := \"@@\"\niv := \"8f07e1\"\n", HEX),
    ("vault.ini", "iv = 8f07e1\nkey = @@\nmode = gcm\n", HEX),
    ("seal.js", "const key=\"@@\";\nconst iv=\"e496a1\";\nconst ciphertext=\"5b97a9\";\n", HEX),
    (
        "seal.ts",
        "const key = \"@@\";\nconst iv = \"e496a1\";\nconst tag = \"07\";\nconst ciphertext = \"5b97a9\";\n",
        HEX,
    ),
    ("seal.py", "key = '@@'\niv = 'e496a1'\nmsg = '5b97a9'\n", HEX),
    ("config.toml", "message = \"hello\"\ninput = \"stdin\"\nkey = \"@@\"\n", HEX),
    ("page.html", "see docs.google.com and use ?token=@@\n", KEY),
    ("README.md", "![x](https://ci.internal/badge.svg)\n\ntoken: @@\n", KEY),
    ("README.md", "![x](https://ci.internal/badge.svg?api_key=@@)\n", KEY),
    ("page.html", "<a href=\"https://docs.google.com/x?access_token=@@\">\n", KEY),
    ("win.ini", "path = C:\\Program Files\\Vendor\\App\npassword = @@\n", PASSWORD),
    ("reg.ps1", "$password = \"@@\"  # HKLM\\SOFTWARE\\Vendor\n", PASSWORD),
    ("map.cfg", "w3w_api_key = @@\n", &["0XUQ", "YLS5"]),
    ("client.py", "headers = {'Authorization': 'Bearer @@'}\n", KEY),
    ("run.sh", "curl -H 'X-Api-Key: @@' https://api.internal/\n", KEY),
    (".npmrc", "//registry.internal/:_authToken=@@\n", KEY),
    (".pypirc", "[internal]\nusername = ci\npassword = @@\n", PASSWORD),
    (".netrc", "machine repo.internal login ci password @@\n", PASSWORD),
    ("inventory.ini", "web1 ansible_user=ops ansible_password=@@\n", PASSWORD),
    ("my.cnf", "[client]\nuser=shop\npassword=@@\n", WORDS),
    ("docker-compose.yml", "environment:\n  - POSTGRES_PASSWORD=@@\n", WORDS),
    ("ci.yml", "env:\n  DEPLOY_TOKEN: \"@@\"\n", KEY),
    ("test_api.py", "def test_fails_with_invalid_token():\n    token = '@@'\n", KEY),
    ("test_api.py", "# a fake server\nAPI_KEY = '@@'\n", KEY),
];

#[test]
fn a_credential_beside_what_is_passed_over_is_found() {
    let mut missed = Vec::new();
    for (file, text, value) in CASES {
        let value = value.concat();
        let text = text.replacen("@@", &value, 1);
        let report = scanner().scan_reader(file, &mut text.as_bytes()).unwrap();
        let holds = |secret: &[u8]| memchr::memmem::find(secret, value.as_bytes()).is_some();
        if !report.findings.iter().any(|finding| holds(finding.secret.expose())) {
            missed.push((file, text));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
