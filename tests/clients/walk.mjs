// Walks through a fresh server with Immich's own SDK, area by area, as the apps do. Whatever differs from what the SDK
// promises, or from what was done a moment before, is an error of its area; the others are walked all the same.
// Environment: SERVER, its address; PHOTOS, a folder with a.jpg, b.jpg and c.mp4; LIBRARY, one with photos that may be
// imported.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as sdk from '@immich/sdk';

const called = new Set();
const api = new Proxy(sdk, {
  get(target, name) {
    if (typeof target[name] === 'function') called.add(name);
    return target[name];
  },
});
const server = process.env.SERVER;
const admin = { email: 'ada@example.org', password: 'correct horse', name: 'Ada' };
const other = { email: 'bob@example.org', password: 'battery staple', name: 'Bob' };
const photo = (name) => new File([readFileSync(`${process.env.PHOTOS}/${name}`)], name);
const sha1 = (name) => createHash('sha1').update(readFileSync(`${process.env.PHOTOS}/${name}`));
const as = (token) => api.setHeader('Authorization', `Bearer ${token}`);
const refused = (promise, status) =>
  assert.rejects(promise, (error) => {
    assert.ok(api.isHttpError(error), error);
    assert.equal(error.status, status);
    assert.equal(typeof error.data.message, 'string');
    return true;
  });

async function until(what, true_, seconds = 60) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    if (await true_()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail(`${what}: not after ${seconds} s`);
}

const jobsEnd = () =>
  until('jobs', async () => {
    const queues = Object.values(await api.getQueuesLegacy());
    return !queues.some(({ jobCounts: { active, waiting, delayed } }) => active + waiting + delayed);
  });

const upload = (name, more = {}) =>
  api.uploadAsset({
    assetMediaCreateDto: {
      assetData: photo(name),
      fileCreatedAt: '2024-01-02T03:04:05.678Z',
      fileModifiedAt: '2024-01-02T03:04:05.678Z',
      ...more,
    },
  });

const text = async (blob) => Buffer.from(await blob.arrayBuffer());
const know = {};

const areas = {
  async 'sign up and log in'() {
    assert.equal((await api.getServerConfig()).isInitialized, false);
    const made = await api.signUpAdmin({ signUpDto: admin });
    assert.ok(made.isAdmin);
    know.admin = made.id;
    assert.equal((await api.getServerConfig()).isInitialized, true);
    await refused(api.signUpAdmin({ signUpDto: admin }), 400);
    await refused(api.login({ loginCredentialDto: { ...admin, password: 'wrong' } }), 401);
    const session = await api.login({ loginCredentialDto: admin });
    assert.equal(session.userEmail, admin.email);
    know.adminToken = session.accessToken;
    as(session.accessToken);
    assert.deepEqual(await api.validateAccessToken(), { authStatus: true });
    assert.equal((await api.getAuthStatus()).password, true);
    await api.changePassword({ changePasswordDto: { password: admin.password, newPassword: 'correct horse 2' } });
    await api.changePassword({ changePasswordDto: { password: 'correct horse 2', newPassword: admin.password } });
  },

  async server() {
    assert.deepEqual(await api.pingServer(), { res: 'pong' });
    const version = await api.getServerVersion();
    assert.deepEqual([version.major, version.minor], [3, 1]);
    assert.equal((await api.getAboutInfo()).version, `v${version.major}.${version.minor}.${version.patch}`);
    assert.ok((await api.getSupportedMediaTypes()).image.includes('.jpg'));
    assert.equal((await api.getServerFeatures()).trash, true);
    assert.ok((await api.getStorage()).diskSizeRaw > 0);
    assert.equal((await api.getServerStatistics()).photos, 0);
    await api.getVersionCheck();
    assert.deepEqual(await api.getAdminOnboarding(), { isOnboarded: false });
    await api.updateAdminOnboarding({ adminOnboardingUpdateDto: { isOnboarded: true } });
    assert.deepEqual(await api.getAdminOnboarding(), { isOnboarded: true });
    await api.getVersionCheckState();
  },

  async 'API keys'() {
    const { apiKey, secret } = await api.createApiKey({
      apiKeyCreateDto: { name: 'phone', permissions: [api.Permission.AssetRead, api.Permission.ApiKeyRead] },
    });
    assert.equal((await api.getApiKeys()).length, 1);
    assert.equal((await api.getApiKey({ id: apiKey.id })).name, 'phone');
    const changed = await api.updateApiKey({
      id: apiKey.id,
      apiKeyUpdateDto: { name: 'tablet', permissions: [api.Permission.All] },
    });
    assert.equal(changed.name, 'tablet');
    const byKey = { headers: { 'x-api-key': secret, Authorization: '' } };
    assert.equal((await api.getMyApiKey(byKey)).id, apiKey.id);
    assert.equal((await api.getMyUser(byKey)).id, know.admin);
    await api.deleteApiKey({ id: apiKey.id });
    await refused(api.getMyUser(byKey), 401);
  },

  async users() {
    const bob = await api.createUserAdmin({ userAdminCreateDto: { ...other, quotaSizeInBytes: 50_000_000 } });
    know.bob = bob.id;
    assert.equal((await api.searchUsersAdmin({})).length, 2);
    assert.equal((await api.getUserAdmin({ id: bob.id })).quotaSizeInBytes, 50_000_000);
    const renamed = await api.updateUserAdmin({ id: bob.id, userAdminUpdateDto: { name: 'Robert' } });
    assert.equal(renamed.name, 'Robert');
    assert.equal((await api.searchUsers()).length, 2);
    assert.equal((await api.getUser({ id: bob.id })).email, other.email);
    assert.equal((await api.updateMyUser({ userUpdateMeDto: { name: 'Ada L.' } })).name, 'Ada L.');
    const preferences = { tags: { enabled: true }, memories: { enabled: false } };
    assert.equal((await api.updateMyPreferences({ userPreferencesUpdateDto: preferences })).memories.enabled, false);
    assert.equal((await api.getMyPreferences()).tags.enabled, true);
    await api.updateUserPreferencesAdmin({ id: bob.id, userPreferencesUpdateDto: { people: { enabled: false } } });
    assert.equal((await api.getUserPreferencesAdmin({ id: bob.id })).people.enabled, false);
    assert.equal((await api.getUserStatisticsAdmin({ id: bob.id })).total, 0);
    await api.setUserOnboarding({ onboardingDto: { isOnboarded: true } });
    assert.equal((await api.getUserOnboarding()).isOnboarded, true);
    know.bobToken = (await api.login({ loginCredentialDto: other })).accessToken;
    assert.equal((await api.getUserSessionsAdmin({ id: bob.id })).length, 1);
    const gone = await api.createUserAdmin({ userAdminCreateDto: { ...other, email: 'eve@example.org' } });
    assert.ok((await api.deleteUserAdmin({ id: gone.id, userAdminDeleteDto: { force: false } })).deletedAt);
    assert.equal((await api.restoreUserAdmin({ id: gone.id })).deletedAt, null);
  },

  async sessions() {
    const made = await api.createSession({ sessionCreateDto: { deviceType: 'TV', deviceOS: 'Tizen', duration: 3600 } });
    assert.equal((await api.getMyUser({ headers: { Authorization: `Bearer ${made.token}` } })).id, know.admin);
    assert.deepEqual((await api.getSessions()).map(({ current }) => current).sort(), [false, true]);
    await api.deleteSession({ id: made.id });
    await refused(api.getMyUser({ headers: { Authorization: `Bearer ${made.token}` } }), 401);
    const ends = (await api.login({ loginCredentialDto: admin })).accessToken;
    await api.deleteAllSessions();
    await refused(api.getMyUser({ headers: { Authorization: `Bearer ${ends}` } }), 401);
    assert.equal((await api.getSessions()).length, 1);
    const last = (await api.login({ loginCredentialDto: admin })).accessToken;
    assert.equal((await api.logout({ headers: { Authorization: `Bearer ${last}` } })).successful, true);
    await refused(api.getMyUser({ headers: { Authorization: `Bearer ${last}` } }), 401);
  },

  async 'system config'() {
    const config = await api.getConfig();
    assert.deepEqual(Object.keys(config).sort(), Object.keys(await api.getConfigDefaults()).sort());
    config.trash.days = 31;
    assert.equal((await api.updateConfig({ systemConfigDto: config })).trash.days, 31);
    assert.equal((await api.getConfig()).trash.days, 31);
    assert.equal((await api.getServerConfig()).trashDays, 31);
    assert.ok((await api.getStorageTemplateOptions()).presetOptions.length > 0);
  },

  async 'upload and assets'() {
    const { results } = await api.checkBulkUpload({
      assetBulkUploadCheckDto: { assets: [{ id: 'mine', checksum: sha1('a.jpg').digest('hex') }] },
    });
    assert.equal(results[0].action, api.AssetUploadAction.Accept);
    const a = await upload('a.jpg', { isFavorite: true, sidecarData: new File(['<x:xmpmeta/>'], 'a.jpg.xmp') });
    assert.equal(a.status, api.AssetMediaStatus.Created);
    const again = await upload('a.jpg');
    assert.deepEqual([again.status, again.id], [api.AssetMediaStatus.Duplicate, a.id]);
    know.a = a.id;
    know.b = (await upload('b.jpg', { filename: 'Fluss.jpg' })).id;
    know.video = (await upload('c.mp4', { duration: 2000 })).id;
    await jobsEnd();
    const info = await api.getAssetInfo({ id: know.a });
    assert.equal(info.originalFileName, 'a.jpg');
    assert.equal(info.checksum, sha1('a.jpg').digest('base64'));
    assert.ok(info.thumbhash);
    assert.equal(info.isFavorite, true);
    assert.equal(info.exifInfo.make, 'Helio');
    assert.equal(info.exifInfo.fNumber, 2.8);
    assert.equal((await api.getAssetInfo({ id: know.b })).originalFileName, 'Fluss.jpg');
    const updated = await api.updateAsset({ id: know.a, updateAssetDto: { description: 'By the sea', rating: 4 } });
    assert.equal(updated.exifInfo.description, 'By the sea');
    await api.updateAssets({ assetBulkUpdateDto: { ids: [know.a, know.b], isFavorite: false } });
    assert.equal((await api.getAssetInfo({ id: know.a })).isFavorite, false);
    const statistics = await api.getAssetStatistics({});
    assert.deepEqual(statistics, { images: 2, videos: 1, total: 3 });
    assert.deepEqual(await api.getAssetOcr({ id: know.a }), []);
    await api.getAssetMetadata({ id: know.a });
    await api.runAssetJobs({
      assetJobsDto: { assetIds: [know.a], name: api.AssetJobName.RegenerateThumbnail },
    });
    await jobsEnd();
    await refused(api.getAssetInfo({ id: crypto.randomUUID() }), 400);
  },

  async 'pictures, videos and downloads'() {
    const thumbnail = await api.viewAsset({ id: know.a, size: api.AssetMediaSize.Thumbnail });
    assert.equal(thumbnail.type, 'image/webp');
    assert.ok(thumbnail.size > 500);
    assert.equal((await api.viewAsset({ id: know.a, size: api.AssetMediaSize.Preview })).type, 'image/jpeg');
    assert.deepEqual(await text(await api.downloadAsset({ id: know.a })), await text(photo('a.jpg')));
    const video = await api.playAssetVideo({ id: know.video });
    assert.equal(video.type, 'video/mp4');
    assert.ok(video.size > 1000);
    const info = await api.getDownloadInfo({ downloadInfoDto: { assetIds: [know.a, know.b] } });
    assert.equal(info.archives.length, 1);
    assert.equal(info.totalSize, photo('a.jpg').size + photo('b.jpg').size);
    const archive = await api.downloadArchive({ downloadArchiveDto: { assetIds: info.archives[0].assetIds } });
    assert.equal((await text(archive)).subarray(0, 2).toString(), 'PK');
    // what a browser is given as an address
    for (const path of [api.getAssetThumbnailPath(know.a), api.getAssetOriginalPath(know.a)]) {
      const headers = { Authorization: `Bearer ${know.adminToken}` };
      assert.equal((await fetch(`${server}/api${path}`, { headers })).status, 200);
      assert.equal((await fetch(`${server}/api${path}`)).status, 401);
    }
  },

  async timeline() {
    const buckets = await api.getTimeBuckets({});
    assert.equal(buckets.reduce((sum, { count }) => sum + count, 0), 3);
    const ids = [];
    for (const { timeBucket, count } of buckets) {
      const bucket = await api.getTimeBucket({ timeBucket });
      assert.equal(bucket.id.length, count);
      assert.equal(bucket.ratio.length, count);
      ids.push(...bucket.id);
    }
    assert.deepEqual(ids.sort(), [know.a, know.b, know.video].sort());
    assert.deepEqual(await api.getTimeBuckets({ isFavorite: true }), []);
  },

  async search() {
    const found = async (metadataSearchDto) =>
      (await api.searchAssets({ metadataSearchDto })).assets.items.map(({ id }) => id).sort();
    assert.deepEqual(await found({ originalFileName: 'Fluss' }), [know.b]);
    assert.deepEqual(await found({ make: 'Helio' }), [know.a, know.b].sort());
    assert.deepEqual(await found({ type: api.AssetTypeEnum.Video }), [know.video]);
    assert.deepEqual(await found({ rating: 4, description: 'sea' }), [know.a]);
    assert.equal((await api.searchRandom({ randomSearchDto: { size: 2 } })).length, 2);
    assert.equal((await api.searchAssetStatistics({ statisticsSearchDto: {} })).total, 3);
    assert.deepEqual(await api.getSearchSuggestions({ $type: api.SearchSuggestionType.CameraMake }), ['Helio']);
    assert.ok((await api.getExploreData()).every(({ items }) => Array.isArray(items)));
    assert.ok((await api.searchPlaces({ name: 'Paris' })).some(({ name }) => name === 'Paris'));
    await api.getAssetsByCity();
    await refused(api.searchSmart({ smartSearchDto: { query: 'a river' } }), 400); // machine learning is off here
  },

  async map() {
    const markers = await api.getMapMarkers({});
    assert.deepEqual(markers.map(({ id }) => id).sort(), [know.a, know.b].sort());
    assert.ok(Math.abs(markers[0].lat - 48.8566) < 0.01);
    const [place] = await api.reverseGeocode({ lat: 48.8566, lon: 2.3522 });
    assert.equal(place.country, 'France');
    const paths = await api.getUniqueOriginalPaths();
    assert.ok((await api.getAssetsByOriginalPath({ path: paths[0] })).length > 0);
  },

  async albums() {
    const album = await api.createAlbum({ createAlbumDto: { albumName: 'Sea', assetIds: [know.a] } });
    const bulkIdsDto = { ids: [know.b, know.a] };
    const added = await api.addAssetsToAlbum({ id: album.id, bulkIdsDto });
    assert.deepEqual(added.map(({ success }) => success), [true, false]);
    assert.equal(added[1].error, 'duplicate');
    const renamed = await api.updateAlbumInfo({ id: album.id, updateAlbumDto: { albumName: 'Coast' } });
    assert.equal(renamed.albumName, 'Coast');
    assert.equal((await api.getAlbumInfo({ id: album.id })).assetCount, 2);
    assert.deepEqual((await api.getAllAlbums({ assetId: know.a })).map(({ id }) => id), [album.id]);
    assert.equal((await api.getTimeBuckets({ albumId: album.id })).reduce((sum, { count }) => sum + count, 0), 2);
    assert.equal((await api.getAlbumMapMarkers({ id: album.id })).length, 2);
    const albumUsers = [{ userId: know.bob, role: api.AlbumUserRole.Viewer }];
    assert.equal((await api.addUsersToAlbum({ id: album.id, addUsersDto: { albumUsers } })).albumUsers.length, 2);
    as(know.bobToken);
    assert.equal((await api.getAllAlbums({ isShared: true })).length, 1);
    assert.equal((await api.getAssetInfo({ id: know.a })).id, know.a);
    await refused(api.addAssetsToAlbum({ id: album.id, bulkIdsDto }), 400);
    as(know.adminToken);
    const updateAlbumUserDto = { role: api.AlbumUserRole.Editor };
    await api.updateAlbumUser({ id: album.id, userId: know.bob, updateAlbumUserDto });
    await api.removeUserFromAlbum({ id: album.id, userId: know.bob });
    assert.equal((await api.getAlbumStatistics()).owned, 1);
    const both = { albumIds: [album.id], assetIds: [know.video] };
    assert.equal((await api.addAssetsToAlbums({ albumsAddAssetsDto: both })).success, true);
    assert.ok((await api.removeAssetFromAlbum({ id: album.id, bulkIdsDto: { ids: [know.a] } }))[0].success);
    know.album = album.id;
    const another = await api.createAlbum({ createAlbumDto: { albumName: 'Gone' } });
    await api.deleteAlbum({ id: another.id });
    await refused(api.getAlbumInfo({ id: another.id }), 400);
  },

  async partners() {
    const made = await api.createPartner({ partnerCreateDto: { sharedWithId: know.bob } });
    assert.equal(made.id, know.bob);
    assert.equal((await api.getPartners({ direction: api.PartnerDirection.SharedBy })).length, 1);
    as(know.bobToken);
    assert.equal((await api.getPartners({ direction: api.PartnerDirection.SharedWith }))[0].id, know.admin);
    const mine = await api.updatePartner({ id: know.admin, partnerUpdateDto: { inTimeline: true } });
    assert.equal(mine.inTimeline, true);
    const buckets = await api.getTimeBuckets({ withPartners: true, visibility: api.AssetVisibility.Timeline });
    assert.equal(buckets.reduce((sum, { count }) => sum + count, 0), 3);
    assert.equal((await api.getAssetInfo({ id: know.a })).ownerId, know.admin);
    as(know.adminToken);
    await api.removePartner({ id: know.bob });
    assert.deepEqual(await api.getPartners({ direction: api.PartnerDirection.SharedBy }), []);
  },

  async 'shared links'() {
    const album = { type: api.SharedLinkType.Album, albumId: know.album, password: 'open sesame', slug: 'trip' };
    const link = await api.createSharedLink({ sharedLinkCreateDto: { ...album, allowUpload: true } });
    const one = { type: api.SharedLinkType.Individual, assetIds: [know.a] };
    const photos = await api.createSharedLink({ sharedLinkCreateDto: one });
    const ids = { assetIds: [know.b] };
    assert.ok((await api.addSharedLinkAssets({ id: photos.id, assetIdsDto: ids }))[0].success);
    assert.ok((await api.removeSharedLinkAssets({ id: photos.id, assetIdsDto: ids }))[0].success);
    assert.equal((await api.getAllSharedLinks({})).length, 2);
    assert.equal((await api.getAllSharedLinks({ albumId: know.album }))[0].id, link.id);
    assert.equal((await api.getAlbumInfo({ id: know.album })).hasSharedLink, true);
    as('');
    assert.equal((await api.getMySharedLink({ key: photos.key })).id, photos.id);
    assert.equal((await api.getAssetInfo({ id: know.a, key: photos.key })).id, know.a);
    await refused(api.getAssetInfo({ id: know.b, key: photos.key }), 400);
    await refused(api.sharedLinkLogin({ slug: 'trip', sharedLinkLoginDto: { password: 'wrong' } }), 401);
    const opened = await api.sharedLinkLogin({ slug: 'trip', sharedLinkLoginDto: { password: album.password } });
    assert.equal(opened.id, link.id);
    as(know.adminToken);
    const description = { description: 'of us' };
    assert.equal((await api.updateSharedLink({ id: link.id, sharedLinkEditDto: description })).description, 'of us');
    await api.removeSharedLink({ id: photos.id });
    await api.removeSharedLink({ id: link.id });
    await refused(api.getSharedLinkById({ id: link.id }), 400);
  },

  async activities() {
    const albumId = know.album;
    const like = { albumId, type: api.ReactionType.Like };
    const comment = { albumId, type: api.ReactionType.Comment, comment: 'Lovely' };
    const said = await api.createActivity({ activityCreateDto: comment });
    await api.createActivity({ activityCreateDto: like });
    assert.equal((await api.getActivities({ albumId })).length, 2);
    const { comments, likes } = await api.getActivityStatistics({ albumId });
    assert.deepEqual([comments, likes], [1, 1]);
    await api.deleteActivity({ id: said.id });
    assert.equal((await api.getActivities({ albumId, $type: api.ReactionType.Comment })).length, 0);
  },

  async 'metadata of assets, copies and the largest'() {
    const items = [{ key: 'mobile-app', value: { iCloudId: 'one' } }];
    await api.updateAssetMetadata({ id: know.a, assetMetadataUpsertDto: { items } });
    assert.equal((await api.getAssetMetadataByKey({ id: know.a, key: 'mobile-app' })).value.iCloudId, 'one');
    await api.deleteAssetMetadata({ id: know.a, key: 'mobile-app' });
    const many = { items: [{ assetId: know.b, ...items[0] }] };
    await api.updateBulkAssetMetadata({ assetMetadataBulkUpsertDto: many });
    assert.equal((await api.getAssetMetadata({ id: know.b })).length, 1);
    const gone = { items: [{ assetId: know.b, key: 'mobile-app' }] };
    await api.deleteBulkAssetMetadata({ assetMetadataBulkDeleteDto: gone });
    assert.deepEqual(await api.getAssetMetadata({ id: know.b }), []);
    await api.copyAsset({ assetCopyDto: { sourceId: know.a, targetId: know.b } });
    const large = await api.searchLargeAssets({ minFileSize: 1, size: 2 });
    assert.ok(large[0].exifInfo.fileSizeInByte >= large[1].exifInfo.fileSizeInByte);
  },

  async 'PIN codes and locked assets'() {
    await api.setupPinCode({ pinCodeSetupDto: { pinCode: '123456' } });
    await api.changePinCode({ pinCodeChangeDto: { pinCode: '123456', newPinCode: '654321' } });
    assert.equal((await api.getAuthStatus()).pinCode, true);
    const locked = { visibility: api.AssetVisibility.Locked };
    await api.updateAssets({ assetBulkUpdateDto: { ids: [know.video], ...locked } });
    await refused(api.getTimeBuckets(locked), 401);
    await api.unlockAuthSession({ sessionUnlockDto: { pinCode: '654321' } });
    assert.equal((await api.getTimeBuckets(locked)).reduce((sum, { count }) => sum + count, 0), 1);
    await api.updateAssets({ assetBulkUpdateDto: { ids: [know.video], visibility: api.AssetVisibility.Timeline } });
    await api.lockAuthSession();
    await refused(api.getTimeBuckets(locked), 401);
    await api.resetPinCode({ pinCodeResetDto: { password: admin.password } });
    assert.equal((await api.getAuthStatus()).pinCode, false);
  },

  async 'profile pictures and what else is known of users and server'() {
    const image = await api.createProfileImage({ createProfileImageDto: { file: photo('a.jpg') } });
    assert.equal(image.userId, know.admin);
    assert.ok((await api.getProfileImage({ id: know.admin })).size > 100);
    await api.deleteProfileImage();
    await api.deleteUserOnboarding();
    assert.equal((await api.getUserOnboarding()).isOnboarded, false);
    await api.getMyCalendarHeatmap({});
    await api.getUserCalendarHeatmapAdmin({ id: know.bob });
    assert.ok(Array.isArray(await api.getVersionHistory()));
    await api.getApkLinks();
    await api.getReverseGeocodingState();
    assert.deepEqual((await api.getAssetEdits({ id: know.a })).edits, []);
  },

  async tags() {
    const [holiday, sea] = await api.upsertTags({ tagUpsertDto: { tags: ['Holiday', 'Holiday/Sea'] } });
    assert.equal(sea.parentId, holiday.id);
    const plain = await api.createTag({ tagCreateDto: { name: 'Plain', color: '#112233' } });
    assert.equal((await api.getTagById({ id: plain.id })).value, 'Plain');
    await api.updateTag({ id: plain.id, tagUpdateDto: { color: '#445566' } });
    assert.equal((await api.getAllTags()).length, 3);
    assert.ok((await api.tagAssets({ id: sea.id, bulkIdsDto: { ids: [know.a] } }))[0].success);
    const bulk = { tagIds: [plain.id], assetIds: [know.a, know.b] };
    assert.equal((await api.bulkTagAssets({ tagBulkAssetsDto: bulk })).count, 2);
    await jobsEnd();
    const values = (await api.getAssetInfo({ id: know.a })).tags.map(({ value }) => value).sort();
    assert.deepEqual(values, ['Holiday/Sea', 'Plain']);
    assert.ok((await api.untagAssets({ id: plain.id, bulkIdsDto: { ids: [know.b] } }))[0].success);
    await api.deleteTag({ id: plain.id });
    await jobsEnd();
  },

  async stacks() {
    const stack = await api.createStack({ stackCreateDto: { assetIds: [know.a, know.b] } });
    assert.equal(stack.primaryAssetId, know.a);
    await api.updateStack({ id: stack.id, stackUpdateDto: { primaryAssetId: know.b } });
    assert.equal((await api.getStack({ id: stack.id })).primaryAssetId, know.b);
    assert.equal((await api.searchStacks({ primaryAssetId: know.b })).length, 1);
    assert.equal((await api.getAssetInfo({ id: know.a })).stack.assetCount, 2);
    await api.deleteStack({ id: stack.id });
    const once = await api.createStack({ stackCreateDto: { assetIds: [know.a, know.b, know.video] } });
    await api.removeAssetFromStack({ id: once.id, assetId: know.video });
    assert.equal((await api.getStack({ id: once.id })).assets.length, 2);
    await api.deleteStacks({ bulkIdsDto: { ids: [once.id] } });
    assert.deepEqual(await api.searchStacks({}), []);
  },

  async people() {
    const ann = await api.createPerson({ personCreateDto: { name: 'Ann', birthDate: '1990-05-06' } });
    const ben = await api.createPerson({ personCreateDto: { name: 'Ben' } });
    const box = { imageWidth: 1600, imageHeight: 1200, x: 100, y: 100, width: 200, height: 200 };
    await api.createFace({ assetFaceCreateDto: { assetId: know.a, personId: ann.id, ...box } });
    await jobsEnd();
    const [face] = await api.getFaces({ id: know.a });
    assert.equal(face.person.name, 'Ann');
    assert.equal((await api.reassignFacesById({ id: ben.id, faceDto: { id: face.id } })).id, ben.id);
    const back = { data: [{ personId: ben.id, assetId: know.a }] };
    await api.reassignFaces({ id: ann.id, assetFaceUpdateDto: back });
    assert.equal((await api.getPersonStatistics({ id: ann.id })).assets, 1);
    await jobsEnd();
    assert.equal((await api.getPersonThumbnail({ id: ann.id })).type, 'image/jpeg');
    const updated = await api.updatePerson({ id: ann.id, personUpdateDto: { isFavorite: true, name: 'Anna' } });
    assert.equal(updated.name, 'Anna');
    const people = [{ id: ben.id, isHidden: true }];
    assert.ok((await api.updatePeople({ peopleUpdateDto: { people } }))[0].success);
    assert.equal((await api.searchPerson({ name: 'ann' }))[0].id, ann.id);
    assert.equal((await api.getAllPeople({ withHidden: true })).total, 2);
    assert.equal((await api.getPerson({ id: ben.id })).isHidden, true);
    assert.ok((await api.mergePerson({ id: ann.id, mergePersonDto: { ids: [ben.id] } }))[0].success);
    await refused(api.getPerson({ id: ben.id }), 400);
    await api.deleteFace({ id: face.id, assetFaceDeleteDto: { force: true } });
    assert.deepEqual(await api.getFaces({ id: know.a }), []);
    const cy = await api.createPerson({ personCreateDto: { name: 'Cy' } });
    await api.deletePerson({ id: cy.id });
    await api.deletePeople({ bulkIdsDto: { ids: [ann.id] } });
    assert.equal((await api.getAllPeople({})).total, 0);
  },

  async memories() {
    const memoryCreateDto = {
      type: api.MemoryType.OnThisDay, data: { year: 2021 }, memoryAt: '2021-07-14T00:00:00.000Z', assetIds: [know.a],
    };
    const memory = await api.createMemory({ memoryCreateDto });
    assert.equal(memory.assets[0].id, know.a);
    assert.equal((await api.searchMemories({})).length, 1);
    assert.equal((await api.memoriesStatistics({})).total, 1);
    const seenAt = '2024-07-14T00:00:00.000Z';
    assert.equal((await api.updateMemory({ id: memory.id, memoryUpdateDto: { isSaved: true, seenAt } })).isSaved, true);
    await api.addMemoryAssets({ id: memory.id, bulkIdsDto: { ids: [know.b] } });
    assert.equal((await api.getMemory({ id: memory.id })).assets.length, 2);
    await api.removeMemoryAssets({ id: memory.id, bulkIdsDto: { ids: [know.a] } });
    await api.deleteMemory({ id: memory.id });
    assert.deepEqual(await api.searchMemories({}), []);
  },

  async duplicates() {
    const group = () => {
      const duplicateId = crypto.randomUUID();
      return api.updateAssets({ assetBulkUpdateDto: { ids: [know.a, know.b], duplicateId } }).then(() => duplicateId);
    };
    const first = await group();
    const [shown] = await api.getAssetDuplicates();
    assert.deepEqual([shown.duplicateId, shown.assets.length], [first, 2]);
    await api.deleteDuplicate({ id: first });
    assert.deepEqual(await api.getAssetDuplicates(), []);
    await api.deleteDuplicates({ bulkIdsDto: { ids: [await group()] } });
    const groups = [{ duplicateId: await group(), keepAssetIds: [know.a], trashAssetIds: [know.b] }];
    assert.ok((await api.resolveDuplicates({ duplicateResolveDto: { groups } }))[0].success);
    assert.equal((await api.getAssetInfo({ id: know.b })).isTrashed, true);
    assert.equal((await api.restoreAssets({ bulkIdsDto: { ids: [know.b] } })).count, 1);
    await jobsEnd();
  },

  async 'external libraries'() {
    const importPaths = [process.env.LIBRARY];
    const library = await api.createLibrary({ createLibraryDto: { ownerId: know.admin, name: 'NAS', importPaths } });
    const checked = await api.validate({ id: library.id, validateLibraryDto: { importPaths } });
    assert.equal(checked.importPaths[0].isValid, true);
    await api.updateLibrary({ id: library.id, updateLibraryDto: { exclusionPatterns: ['**/no/**'] } });
    await api.scanLibrary({ id: library.id });
    await until('scan', async () => (await api.getLibraryStatistics({ id: library.id })).photos === 1);
    await jobsEnd();
    assert.equal((await api.getAllLibraries()).length, 1);
    assert.equal((await api.getLibrary({ id: library.id })).assetCount, 1);
    await api.deleteLibrary({ id: library.id });
    await jobsEnd();
    assert.deepEqual(await api.getAllLibraries(), []);
  },

  async 'jobs and queues'() {
    const name = api.QueueName.ThumbnailGeneration;
    assert.equal((await api.getQueues()).length, Object.keys(await api.getQueuesLegacy()).length);
    const command = (command, force) => api.runQueueCommandLegacy({ name, queueCommandDto: { command, force } });
    assert.equal((await api.updateQueue({ name, queueUpdateDto: { isPaused: true } })).isPaused, true);
    await command(api.QueueCommand.Start, true);
    const status = [api.QueueJobStatus.Waiting, api.QueueJobStatus.Paused];
    const [job] = await api.getQueueJobs({ name, status });
    assert.equal(job.name, api.JobName.AssetGenerateThumbnailsQueueAll);
    const { statistics } = await api.getQueue({ name });
    assert.equal(statistics.waiting + statistics.paused, 1);
    await api.emptyQueue({ name, queueDeleteDto: { failed: true } });
    assert.deepEqual(await api.getQueueJobs({ name, status }), []);
    assert.equal((await command(api.QueueCommand.Resume)).queueStatus.isPaused, false);
    await command(api.QueueCommand.Start, false);
    await api.createJob({ jobCreateDto: { name: api.ManualJobName.TagCleanup } });
    await jobsEnd();
    await api.getIntegrityReportSummary();
    await api.getIntegrityReport({ $type: api.IntegrityReport.MissingFile });
    assert.ok((await text(await api.getIntegrityReportCsv({ $type: api.IntegrityReport.MissingFile }))).length > 0);
  },

  async notifications() {
    const about = { userId: know.admin, level: api.NotificationLevel.Info };
    const notify = (title) => api.createNotification({ notificationCreateDto: { title, ...about } });
    const [first, second, third] = [await notify('1'), await notify('2'), await notify('3')];
    const readAt = '2024-01-02T03:04:05.678Z';
    assert.equal((await api.getNotification({ id: first.id })).title, '1');
    assert.ok((await api.updateNotification({ id: first.id, notificationUpdateDto: { readAt } })).readAt);
    await api.updateNotifications({ notificationUpdateAllDto: { ids: [second.id], readAt } });
    const unread = (await api.getNotifications({ unread: true })).map(({ id }) => id);
    assert.ok(unread.includes(third.id) && !unread.includes(first.id) && !unread.includes(second.id));
    await api.deleteNotification({ id: first.id });
    await api.deleteNotifications({ notificationDeleteAllDto: { ids: [second.id, third.id] } });
    await refused(api.getNotification({ id: first.id }), 400);
  },

  async sync() {
    const types = [api.SyncRequestType.AssetsV2, api.SyncRequestType.AlbumsV2];
    const pull = async () => {
      const said = await api.getSyncStream({ syncStreamDto: { types } });
      return (said || '').split('\n').filter(Boolean).map((line) => JSON.parse(line));
    };
    const of = ({ type }) => type === api.SyncEntityType.AssetV2;
    const assets = (lines) => lines.filter(of).map(({ data }) => data.id);
    let lines = [];
    // a change is streamed once every writer before it is done, moments later
    await until('all assets', async () => assets((lines = await pull())).length === 3);
    assert.deepEqual(assets(lines).sort(), [know.a, know.b, know.video].sort());
    const acks = [...new Map(lines.map(({ type, ack }) => [type, ack])).values()];
    await api.sendSyncAck({ syncAckSetDto: { acks } });
    assert.ok((await api.getSyncAck()).some(of));
    assert.deepEqual(assets(await pull()), []);
    await api.updateAsset({ id: know.b, updateAssetDto: { isFavorite: true } });
    await until('the change', async () => assets(await pull()).join() === know.b);
    await api.deleteSyncAck({ syncAckDeleteDto: { types: [api.SyncEntityType.AssetV2] } });
    await until('all assets again', async () => assets(await pull()).length === 3);
  },

  async 'trash and deletion'() {
    await api.deleteAssets({ assetBulkDeleteDto: { ids: [know.a, know.b] } });
    assert.equal((await api.getAssetStatistics({ isTrashed: true })).total, 2);
    assert.equal((await api.restoreAssets({ bulkIdsDto: { ids: [know.a] } })).count, 1);
    assert.equal((await api.restoreTrash()).count, 1);
    await api.deleteAssets({ assetBulkDeleteDto: { ids: [know.b] } });
    assert.equal((await api.emptyTrash()).count, 1);
    await api.deleteAssets({ assetBulkDeleteDto: { ids: [know.video], force: true } });
    await jobsEnd();
    await refused(api.getAssetInfo({ id: know.b }), 400);
    assert.equal((await api.getAssetStatistics({})).total, 1);
    const restored = await upload('b.jpg');
    assert.equal(restored.status, api.AssetMediaStatus.Created);
    await jobsEnd();
  },
};

api.setBaseUrl(`${server}/api`);
let failed = 0;
for (const [name, walk] of Object.entries(areas)) {
  const [before, began] = [called.size, performance.now()];
  try {
    await walk();
    console.log(`${name}: ${called.size - before} more operations, ${(performance.now() - began).toFixed(0)} ms`);
  } catch (error) {
    failed += 1;
    const said = api.isHttpError(error) ? ` ${JSON.stringify(error.data)}` : '';
    console.log(`FAILED ${name}:${said} ${error.stack}`);
    as(know.adminToken);
  }
}
const helpers = /^(init|isHttpError|get.*Path|(get|set)(BaseUrl|ApiKey|Headers?))$|^is[A-Z]/;
const operations = Object.keys(sdk).filter((name) => typeof sdk[name] === 'function' && !helpers.test(name));
const missing = operations.filter((name) => !called.has(name));
console.log(`${operations.length - missing.length} of the SDK's ${operations.length} operations called`);
console.log(`not called: ${missing.join(' ')}`);
process.exitCode = failed ? 1 : 0;
