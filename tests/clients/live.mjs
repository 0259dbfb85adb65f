// Listens to a server with the official Socket.IO client, as the web app and the phones do, while the SDK changes
// things. Environment: SERVER, where somebody is signed up as below; PHOTOS, a folder with a.jpg and b.jpg.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect as dial, createServer } from 'node:net';
import { io } from 'socket.io-client';
import * as api from '@immich/sdk';

const server = process.env.SERVER;
const admin = { email: 'ada@example.org', password: 'correct horse' };
const VERSION = { major: 3, minor: 1, patch: 0, prerelease: null };

function listen(options = {}, address = server) {
  const socket = io(address, { path: '/api/socket.io', transports: ['websocket'], forceNew: true, ...options });
  const heard = [];
  socket.onAny((name, ...said) => heard.push([name, ...said]));
  socket.on('disconnect', (reason) => heard.push(['disconnect', reason]));
  const next = async (name, fits = () => true) => {
    for (const end = Date.now() + 20_000; Date.now() < end; ) {
      const index = heard.findIndex(([other, ...said]) => other === name && fits(...said));
      if (index >= 0) return heard.splice(index, 1)[0].slice(1);
      await new Promise((done) => setTimeout(done, 10));
    }
    assert.fail(`no ${name}; heard ${JSON.stringify(heard).slice(0, 2000)}`);
  };
  return { socket, heard, next };
}

// A way to the server that can be cut and mended.
async function cable() {
  const [port, ends] = [Number(new URL(server).port), new Set()];
  const middle = createServer((near) => {
    const far = dial(port, '127.0.0.1');
    for (const end of [near, far]) ends.add(end.on('error', () => {}));
    near.pipe(far).pipe(near);
  });
  const mend = (at) => new Promise((done) => middle.listen(at, '127.0.0.1', done));
  await mend(0);
  const own = middle.address().port;
  const cut = () => {
    middle.close();
    for (const end of ends) end.destroy();
  };
  return { address: `http://127.0.0.1:${own}`, cut, mend: () => mend(own) };
}

const upload = async (name) => {
  const assetData = new File([readFileSync(`${process.env.PHOTOS}/${name}`)], name);
  const when = '2024-01-02T03:04:05.678Z';
  return (await api.uploadAsset({ assetMediaCreateDto: { assetData, fileCreatedAt: when, fileModifiedAt: when } })).id;
};

api.setBaseUrl(`${server}/api`);
const { accessToken } = await api.login({ loginCredentialDto: admin });
api.setHeader('Authorization', `Bearer ${accessToken}`);
const { secret } = await api.createApiKey({ apiKeyCreateDto: { name: 'live', permissions: [api.Permission.All] } });
const bearer = { Authorization: `Bearer ${accessToken}` };
const line = await cable();

const ways = {
  bearer: listen({ extraHeaders: bearer }),
  cookie: listen({ extraHeaders: { Cookie: `immich_access_token=${accessToken}` } }),
  'x-immich-user-token': listen({ extraHeaders: { 'x-immich-user-token': accessToken } }),
  'x-api-key': listen({ extraHeaders: { 'x-api-key': secret } }),
  'apiKey in the query': listen({ query: { apiKey: secret } }),
  'a line that is cut': listen({ extraHeaders: bearer, reconnectionDelay: 100, reconnectionDelayMax: 300 }, line.address),
};
for (const [way, { next }] of Object.entries(ways)) {
  assert.deepEqual(await next('on_server_version'), [VERSION], way);
}
console.log(`connected by ${Object.keys(ways).join(', ')}`);

for (const extraHeaders of [{}, { Authorization: 'Bearer wrong' }, { 'x-api-key': 'wrong' }]) {
  const { socket, heard, next } = listen({ extraHeaders });
  assert.deepEqual(await next('error'), ['unauthorized']);
  assert.deepEqual(await next('disconnect'), ['io server disconnect']);
  assert.equal(socket.connected, false);
  assert.deepEqual(heard, []);
}
console.log('strangers are told "unauthorized" and shut out');

const ears = Object.values(ways);
const told = async (name, fits) => {
  for (const { next } of ears) await next(name, fits);
  console.log(`heard ${name}`);
};
const is = (id) => (asset) => asset.id === id;
const a = await upload('a.jpg');
await told('on_upload_success', is(a));
await told('AssetUploadReadyV2', ({ asset }) => asset.id === a);
await api.updateAsset({ id: a, updateAssetDto: { description: 'By the sea' } });
await told('on_asset_update', (asset) => asset.id === a && asset.exifInfo.description === 'By the sea');
const b = await upload('b.jpg');
await told('on_upload_success', is(b));
await api.createStack({ stackCreateDto: { assetIds: [a, b] } });
await told('on_asset_stack_update');
await api.deleteAssets({ assetBulkDeleteDto: { ids: [a] } });
await told('on_asset_trash', (ids) => ids.join() === a);
await api.restoreAssets({ bulkIdsDto: { ids: [a] } });
await told('on_asset_restore', (ids) => ids.join() === a);
const config = await api.getConfig();
await api.updateConfig({ systemConfigDto: { ...config, trash: { ...config.trash, days: 29 } } });
await told('on_config_update');

const cut = ways['a line that is cut'];
line.cut();
assert.match((await cut.next('disconnect'))[0], /^transport (close|error)$/);
await new Promise((done) => setTimeout(done, 500));
assert.equal(cut.socket.connected, false);
const mended = performance.now();
await line.mend();
assert.deepEqual(await cut.next('on_server_version'), [VERSION]);
console.log(`connected again ${(performance.now() - mended).toFixed(0)} ms after the line was mended`);
await api.deleteAssets({ assetBulkDeleteDto: { ids: [b], force: true } });
await told('on_asset_delete', (id) => id === b);

const session = await api.createSession({ sessionCreateDto: { deviceType: 'TV', deviceOS: 'Tizen' } });
const television = listen({ extraHeaders: { Authorization: `Bearer ${session.token}` } });
await television.next('on_server_version');
await api.deleteSession({ id: session.id });
assert.deepEqual(await television.next('on_session_delete'), [session.id]);
assert.equal(ways['x-api-key'].heard.some(([name]) => name === 'on_session_delete'), false);
console.log('a session hears of its end, and others do not');

for (const { socket } of [...ears, television]) socket.disconnect();
line.cut();
