// What a Node service does with node-vault, against the server that VAULT_ADDR names.
const assert = require('node:assert');

const connect = (token) => require('node-vault')({ endpoint: process.env.VAULT_ADDR, token });

const refused = async (status, promise) => {
  const error = await promise.then(() => null, (error) => error);
  assert.ok(error, 'the call was not refused');
  assert.strictEqual(error.response.statusCode, status);
};

const main = async () => {
  const vault = connect(process.env.VAULT_TOKEN);
  assert.strictEqual((await vault.health()).sealed, false);
  assert.strictEqual((await vault.status()).sealed, false);

  // KV version 2
  await vault.mount({ mount_point: 'secret', type: 'kv', options: { version: '2' } });
  await vault.write('secret/data/app/db', { data: { user: 'svc', password: 'one' } });
  await vault.write('secret/data/app/db', { data: { user: 'svc', password: 'two' }, options: { cas: 1 } });
  await refused(400, vault.write('secret/data/app/db', { data: { x: 'y' }, options: { cas: 1 } }));
  const latest = (await vault.read('secret/data/app/db')).data;
  assert.deepStrictEqual(latest.data, { user: 'svc', password: 'two' });
  assert.strictEqual(latest.metadata.version, 2);
  assert.deepStrictEqual((await vault.list('secret/metadata/app')).data.keys, ['db']);
  await refused(404, vault.read('secret/data/app/none'));
  await vault.delete('secret/data/app/db');
  await refused(404, vault.read('secret/data/app/db'));

  // Policies and tokens
  await vault.addPolicy({ name: 'app', rules: 'path "secret/data/app/*" { capabilities = ["create", "read", "update"] }' });
  assert.ok((await vault.policies()).policies.includes('app'));
  // This library's client goes over to the token that it creates, so another one creates it.
  const made = (await connect(process.env.VAULT_TOKEN).tokenCreate({ policies: ['app'], ttl: '1h' })).auth;
  const workload = connect(made.client_token);
  await workload.write('secret/data/app/own', { data: { k: 'v' } });
  await refused(403, workload.write('secret/data/other', { data: { k: 'v' } }));
  assert.ok((await workload.tokenLookupSelf()).data.policies.includes('app'));
  await workload.tokenRenewSelf({ increment: '2h' });
  await workload.tokenRevokeSelf();
  await refused(403, workload.tokenLookupSelf());

  // AppRole
  await vault.enableAuth({ mount_point: 'approle', type: 'approle' });
  await vault.addApproleRole({ role_name: 'web', policies: 'app', token_ttl: 1200 });
  const { role_id } = (await vault.getApproleRoleId({ role_name: 'web' })).data;
  const { secret_id } = (await vault.getApproleRoleSecret({ role_name: 'web' })).data;
  const login = (await connect().approleLogin({ role_id, secret_id })).auth;
  assert.strictEqual((await connect(login.client_token).read('secret/data/app/own')).data.data.k, 'v');

  // Wrapping
  const wrap = await vault.request({ path: '/secret/data/app/own', method: 'GET', headers: { 'X-Vault-Wrap-TTL': '60s', 'X-Vault-Token': process.env.VAULT_TOKEN } });
  const { token } = wrap.wrap_info;
  assert.strictEqual((await vault.unwrap({ token })).data.data.k, 'v');
  await refused(400, vault.unwrap({ token }));
  console.log('node-vault: done');
};

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
