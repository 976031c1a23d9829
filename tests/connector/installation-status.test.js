// The connector in a stand-in of the tenant's runtime, against servers over real HTTP. test_installation_status.py lays
// out the folders, runs it with Node's own test runner, and asks the real receiver what it then holds.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';

const KEY = 'connector-key-of-the-tests';
// For what never answers: as short as a busy machine allows for what does.
const SHORT_LIMIT_S = 2;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const IDENTIFIERS = { customerId: 'C-4711', email: 'jane@example.com' };
const STATISTICS = { activeRegistrationCount: 2, totalRegistrationCount: 5 };
const SOURCE = { tags: ['till'], medium: 'email', origin: 'https://shop.example.com', userAgent: 'Safari' };

const complaints = [];
console.error = (...parts) => complaints.push(parts.join(' '));

const secrets = new Map([['key', KEY], ['client-id', 'wallet pipeline'], ['client-secret', 's3cret:/+']]);
// What the stand-in of neo/secrets asks; a function is called for the value.
globalThis.readTenantSecret = async (name) => {
  const value = secrets.get(name);
  return typeof value === 'function' ? value() : value;
};

let loaded = 0;

/** Load the script anew, configure it as a user does at its top, and return the hooks that it registers. */
async function load(settings) {
  loaded += 1;
  const script = await import(`../server/scripts/installation-status.js?${loaded}`);
  Object.assign(script.config, { keySecret: 'key', longestPauseSeconds: 0.01, maxRequestsPerSecond: 1000 }, settings);
  const registered = {};
  script.default({ register: (extensionPoint, hooks) => { registered[extensionPoint] = hooks; } });
  return registered['runtime.wallet.passUpdater'];
}

/** Serve with one answer after the other, the last one again and again; return the address and what was asked. */
async function serve(t, ...answers) {
  const requests = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { method, url, headers } = request;
    requests.push({ method, url, headers, body, at: performance.now() });
    const answer = answers[Math.min(requests.length, answers.length) - 1] ?? 204;
    if (typeof answer === 'function') await answer(response, requests.at(-1));
    else response.writeHead(answer).end();
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  t.after(() => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections?.();
  }));
  return { endpoint: `http://127.0.0.1:${server.address().port}`, requests };
}

const answerWith = (status, headers, body) => (response) => response.writeHead(status, headers).end(body);
const silence = () => {};
const reset = (response) => response.socket.resetAndDestroy?.() ?? response.socket.destroy();

const install = (hooks, passId, more = {}) => hooks.OnPassInstalled(passId, 'loyalty', IDENTIFIERS, 'apple', more);
const events = (requests) => requests.map(({ body }) => JSON.parse(body));
const complaintsAbout = (passId) => complaints.filter((text) => text.includes(`pass ${passId},`));

function assertNothingSecretIn(text) {
  for (const secret of [KEY, ...Object.values(IDENTIFIERS), 's3cret']) assert.ok(!text.includes(secret), text);
}

/** Serve as an OAuth gateway before a receiver: tokens that count up, and a proxy that knows them and has the key. */
async function serveGateway(t, receiver, { lifetime = 3600, accepts = () => true } = {}) {
  const issued = [];
  const tokens = await serve(t, (response) => {
    issued.push(`token-${issued.length + 1}`);
    const answer = { access_token: issued.at(-1), token_type: 'Bearer', expires_in: lifetime };
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
  });
  const proxy = await serve(t, async (response, { url, headers, body }) => {
    const token = headers.authorization.replace('Bearer ', '');
    if (!issued.includes(token) || !(await accepts(token))) return response.writeHead(401).end();
    const passedOn = { Authorization: `Bearer ${KEY}`, 'Content-Type': headers['content-type'] };
    const answer = await fetch(`${receiver}${url}`, { method: 'POST', headers: passedOn, body });
    await answer.arrayBuffer();
    return response.writeHead(answer.status).end();
  });
  return { tokens, proxy, settings: { endpoint: proxy.endpoint, oauth: oauthAt(tokens.endpoint) } };
}

const oauthAt = (tokenServer) => ({
  tokenUrl: `${tokenServer}/oauth/token`,
  clientIdSecret: 'client-id',
  clientSecretSecret: 'client-secret',
  scope: 'wallet-events',
});

// Every test has a server, a script and a pass of its own, so they can wait side by side.
describe('the connector', { concurrency: true }, () => {
  describe('what is sent', { concurrency: true }, () => {
    it('is the event as JSON, to /connector, with the key as bearer token', async (t) => {
      const { endpoint, requests } = await serve(t);
      const hooks = await load({ endpoint: `${endpoint}/` });
      const before = new Date().toISOString();
      await install(hooks, 'pass-sent', { registrationInformation: STATISTICS, registrationSource: SOURCE });
      const [{ method, url, headers }] = requests;
      const [{ eventId, timestamp, ...event }] = events(requests);
      assert.deepEqual([method, url, headers['content-type']], ['POST', '/connector', 'application/json']);
      assert.equal(headers.authorization, `Bearer ${KEY}`);
      assert.match(eventId, UUID);
      assert.ok(before <= timestamp && timestamp <= new Date().toISOString());
      assert.deepEqual(event, {
        eventType: 'Pass:Installed',
        passId: 'pass-sent',
        passType: 'loyalty',
        device: 'apple',
        identifiers: IDENTIFIERS,
        ...STATISTICS,
        registrationSource: SOURCE,
      });
    });

    it('says of a removal that it is one', async (t) => {
      const { endpoint, requests } = await serve(t);
      const hooks = await load({ endpoint });
      await hooks.OnPassUninstalled('pass-removed', 'loyalty', IDENTIFIERS, 'google', STATISTICS);
      const [{ eventType, device, activeRegistrationCount }] = events(requests);
      assert.deepEqual([eventType, device, activeRegistrationCount], ['Pass:Uninstalled', 'google', 2]);
    });

    for (const [where, information, count] of [
      ['at the top', { activeRegistrationCount: 0 }, 0],
      ['one level below', { source: SOURCE, empty: null, counts: { activeRegistrationCount: 3 } }, 3],
      ['nowhere', { registrationSource: SOURCE }, undefined],
      ['somewhere as no count', { activeRegistrationCount: 'two', more: { activeRegistrationCount: -1 } }, undefined],
      ['in null', null, undefined],
      ['in nothing', undefined, undefined],
    ]) {
      it(`has the count of registrations that hangs ${where}`, async (t) => {
        const { endpoint, requests } = await serve(t);
        await install(await load({ endpoint }), 'pass-counted', information);
        const [event] = events(requests);
        assert.equal(event.activeRegistrationCount, count);
        assert.equal('activeRegistrationCount' in event, count !== undefined);
      });
    }

    it('bears the time of the hook, not that of the delivery', async (t) => {
      const { endpoint, requests } = await serve(t, 503, 204);
      const hooks = await load({ endpoint, longestPauseSeconds: 0.2 });
      const delivered = install(hooks, 'pass-timed');
      const called = new Date().toISOString();
      await delivered;
      assert.equal(requests.length, 2);
      assert.ok(events(requests).at(-1).timestamp <= called);
    });

    it('has an id of its own for each event', async (t) => {
      const { endpoint, requests } = await serve(t);
      const hooks = await load({ endpoint });
      await Promise.all([install(hooks, 'pass-twice'), install(hooks, 'pass-twice')]);
      assert.equal(new Set(events(requests).map(({ eventId }) => eventId)).size, 2);
    });

    it('can hold numbers that JSON does not know', async (t) => {
      const { endpoint, requests } = await serve(t);
      const hooks = await load({ endpoint });
      await hooks.OnPassInstalled('pass-bigint', 'loyalty', { customerId: 9007199254740993n }, 'apple', {});
      assert.equal(events(requests)[0].identifiers.customerId, '9007199254740993');
    });
  });

  describe('a try that fails', { concurrency: true }, () => {
    it('is followed by others with the same event, until one succeeds', async (t) => {
      const { endpoint, requests } = await serve(t, 503, 503, 204);
      await install(await load({ endpoint }), 'pass-503');
      assert.equal(requests.length, 3);
      assert.equal(new Set(requests.map(({ body }) => body)).size, 1);
      assert.deepEqual(complaintsAbout('pass-503'), []);
    });

    for (const [what, answer] of [
      ['a reset connection', reset],
      ['silence', silence],
      ['status 408', 408],
      ['status 429', 429],
      ['status 500', 500],
    ]) {
      it(`is repeated after ${what}`, async (t) => {
        const { endpoint, requests } = await serve(t, answer, 204);
        const timeLimitSeconds = answer === silence ? SHORT_LIMIT_S : 10;
        await install(await load({ endpoint, timeLimitSeconds }), 'pass-again');
        assert.equal(requests.length, 2);
      });
    }

    it('is delivered when the status was good, though the body never ends', async (t) => {
      const endless = (response) => response.writeHead(200, { 'content-length': 10 }).write('{');
      const { endpoint, requests } = await serve(t, endless);
      await install(await load({ endpoint, timeLimitSeconds: SHORT_LIMIT_S }), 'pass-endless');
      assert.equal(requests.length, 1);
      assert.deepEqual(complaintsAbout('pass-endless'), []);
    });

    it('waits as long as Retry-After asks for in seconds', async (t) => {
      const { endpoint, requests } = await serve(t, answerWith(429, { 'Retry-After': '1' }), 204);
      await install(await load({ endpoint, longestPauseSeconds: 5 }), 'pass-429');
      assert.ok(requests[1].at - requests[0].at >= 990);
    });

    it('waits as long as Retry-After asks for with a date', async (t) => {
      const later = () => new Date(Date.now() + 3000).toUTCString();
      const busy = (response) => response.writeHead(503, { 'Retry-After': later() }).end();
      const { endpoint, requests } = await serve(t, busy, 204);
      await install(await load({ endpoint, longestPauseSeconds: 5 }), 'pass-date');
      // The date has whole seconds; without it the pause would be one second at most.
      assert.ok(requests[1].at - requests[0].at > 1500);
    });

    it('never waits longer than the configuration allows', async (t) => {
      const { endpoint, requests } = await serve(t, answerWith(429, { 'Retry-After': '86400' }), 204);
      await install(await load({ endpoint, longestPauseSeconds: 0.2 }), 'pass-capped');
      const waited = requests[1].at - requests[0].at;
      assert.ok(waited >= 190 && waited < 60_000, `${waited} ms`);
    });

    it('is followed by longer and longer pauses, which differ from event to event', async (t) => {
      const seen = new Map();
      const { endpoint } = await serve(t, (response, { body, at }) => {
        const tries = seen.get(body) ?? [];
        seen.set(body, [...tries, at]);
        response.writeHead(tries.length === 2 ? 204 : 503).end();
      });
      const hooks = await load({ endpoint, longestPauseSeconds: 30 });
      await Promise.all(Array.from({ length: 24 }, (_, number) => install(hooks, `pass-backoff-${number}`)));
      const pauses = [...seen.values()].map(([first, second, third]) => [second - first, third - second]);
      assert.equal(pauses.length, 24);
      for (const [first, second] of pauses) assert.ok(first >= 490 && second >= 990, `${first}, ${second} ms`);
      // Between one and two seconds each: 24 of them lie closer together once in 10^10 times.
      const seconds = pauses.map(([, second]) => second);
      assert.ok(Math.max(...seconds) - Math.min(...seconds) > 300, `${seconds}`);
    });

    for (const status of [400, 401, 403, 404, 413]) {
      it(`is the only one after status ${status}, and is told without anything secret`, async (t) => {
        const { endpoint, requests } = await serve(t, status);
        await install(await load({ endpoint }), `pass-${status}`);
        const [complaint, ...others] = complaintsAbout(`pass-${status}`);
        assert.deepEqual([requests.length, others], [1, []]);
        const [{ eventId }] = events(requests);
        assert.ok(complaint.includes(`event ${eventId}: status ${status} of the receiver`), complaint);
        assertNothingSecretIn(complaint);
      });
    }

    it('is told after the last one, with the last status', async (t) => {
      const { endpoint, requests } = await serve(t, 503);
      await install(await load({ endpoint, attempts: 3 }), 'pass-given-up');
      assert.equal(requests.length, 3);
      assert.match(complaintsAbout('pass-given-up')[0], /status 503 of the receiver$/);
    });

    it('is told by its cause when nobody answers', async () => {
      await install(await load({ endpoint: 'http://127.0.0.1:1', attempts: 2 }), 'pass-refused');
      assert.equal(complaintsAbout('pass-refused').length, 1);
      assertNothingSecretIn(complaintsAbout('pass-refused')[0]);
    });

    it('takes the key nowhere else when it is redirected', async (t) => {
      const elsewhere = await serve(t);
      const { endpoint } = await serve(t, answerWith(307, { Location: `${elsewhere.endpoint}/connector` }));
      await install(await load({ endpoint }), 'pass-redirected');
      assert.deepEqual(elsewhere.requests, []);
      assert.match(complaintsAbout('pass-redirected')[0], /status 307/);
    });

    it('does not make the hook fail when the event cannot be written', async (t) => {
      const { endpoint } = await serve(t);
      const circle = {};
      circle.self = circle;
      const hooks = await load({ endpoint });
      assert.equal(await hooks.OnPassInstalled('pass-circle', 'loyalty', circle, 'apple', {}), undefined);
      assert.match(complaintsAbout('pass-circle')[0], /TypeError/);
    });
  });

  describe('the key', { concurrency: true }, () => {
    it('is read again for each try, so that a new one counts', async (t) => {
      secrets.set('changing', 'first-key-of-the-tests');
      const { endpoint, requests } = await serve(t, (response) => {
        secrets.set('changing', 'second-key-of-the-tests');
        response.writeHead(503).end();
      }, 204);
      await install(await load({ endpoint, keySecret: 'changing' }), 'pass-rotated');
      assert.equal(requests[1].headers.authorization, 'Bearer second-key-of-the-tests');
    });

    it('is asked for again when it could not be read', async (t) => {
      let asked = 0;
      secrets.set('unsteady', () => {
        asked += 1;
        if (asked === 1) throw new Error('the vault is down');
        return KEY;
      });
      const { endpoint, requests } = await serve(t);
      await install(await load({ endpoint, keySecret: 'unsteady' }), 'pass-unsteady');
      assert.deepEqual([requests.length, complaintsAbout('pass-unsteady')], [1, []]);
    });

    it('that is missing is named, and nothing is sent', async (t) => {
      const { endpoint, requests } = await serve(t);
      await install(await load({ endpoint, keySecret: 'nobody-made-it' }), 'pass-no-key');
      assert.equal(requests.length, 0);
      assert.match(complaintsAbout('pass-no-key')[0], /the tenant has no secret nobody-made-it/);
    });

    it('is not told where it cannot be a header', async (t) => {
      secrets.set('broken', `${KEY}\nand more`);
      const { endpoint } = await serve(t);
      await install(await load({ endpoint, keySecret: 'broken', attempts: 1 }), 'pass-broken-key');
      assert.equal(complaintsAbout('pass-broken-key').length, 1);
      assertNothingSecretIn(complaintsAbout('pass-broken-key')[0]);
    });
  });

  describe('many events', { concurrency: true }, () => {
    it('are sent no faster than the configuration allows', async (t) => {
      const { endpoint, requests } = await serve(t);
      const hooks = await load({ endpoint, maxRequestsPerSecond: 5 });
      const began = performance.now();
      await Promise.all(Array.from({ length: 11 }, (_, number) => install(hooks, `pass-throttled-${number}`)));
      assert.equal(requests.length, 11);
      assert.ok(requests.at(-1).at - began >= 1990);
    });

    it('have their hooks open until they are delivered', async (t) => {
      let answered = 0;
      const slow = async (response) => {
        await new Promise((resolve) => { setTimeout(resolve, 100); });
        answered += 1;
        response.writeHead(204).end();
      };
      const { endpoint } = await serve(t, slow);
      const hooks = await load({ endpoint });
      await Promise.all([install(hooks, 'pass-open-1'), install(hooks, 'pass-open-2')]);
      assert.equal(answered, 2);
    });
  });

  describe('the route', { concurrency: true }, () => {
    it('chooses the endpoint of each event', async (t) => {
      const [usual, other] = [await serve(t), await serve(t)];
      const route = async ({ passId }) => (passId === 'pass-other' ? other.endpoint : usual.endpoint);
      const hooks = await load({ endpoint: usual.endpoint, route });
      await Promise.all([install(hooks, 'pass-usual'), install(hooks, 'pass-other')]);
      assert.deepEqual(events(usual.requests).map(({ passId }) => passId), ['pass-usual']);
      assert.deepEqual(events(other.requests).map(({ passId }) => passId), ['pass-other']);
    });

    it('keeps an event back with null', async (t) => {
      const { endpoint, requests } = await serve(t);
      await install(await load({ endpoint, route: () => null }), 'pass-kept-back');
      assert.deepEqual([requests, complaintsAbout('pass-kept-back')], [[], []]);
    });

    for (const [what, route] of [
      ['throws', () => { throw new Error(IDENTIFIERS.email); }],
      ['returns nothing', () => undefined],
      ['returns no address', () => 'staging'],
      ['never ends', () => new Promise(() => {})],
      ['changes the event', (event) => { event.passId = 'x'; return null.endpoint; }],
    ]) {
      it(`that ${what} loses no event`, async (t) => {
        const { endpoint, requests } = await serve(t);
        const passId = `pass-route-${what}`;
        await install(await load({ endpoint, route, timeLimitSeconds: SHORT_LIMIT_S }), passId);
        assert.deepEqual(events(requests).map((event) => event.passId), [passId]);
        assert.match(complaintsAbout(passId)[0], /route failed/);
        assertNothingSecretIn(complaintsAbout(passId)[0]);
      });
    }
  });

  describe('the enrichment', { concurrency: true }, () => {
    it('adds fields and replaces none', async (t) => {
      const { endpoint, requests } = await serve(t);
      const enrich = async (event) => {
        event.passId = 'changed';
        return { segment: `of ${event.identifiers.customerId}`, passId: 'another' };
      };
      await install(await load({ endpoint, enrich }), 'pass-enriched');
      const [{ segment, passId }] = events(requests);
      assert.deepEqual([segment, passId], ['of C-4711', 'pass-enriched']);
    });

    it('that adds nothing is no failure', async (t) => {
      const { endpoint, requests } = await serve(t);
      await install(await load({ endpoint, enrich: () => null }), 'pass-not-enriched');
      assert.deepEqual([requests.length, complaintsAbout('pass-not-enriched')], [1, []]);
    });

    for (const [what, enrich] of [
      ['throws', () => { throw new Error(IDENTIFIERS.email); }],
      ['rejects', async () => { throw new Error(IDENTIFIERS.email); }],
      ['never ends', () => new Promise(() => {})],
      ['returns text', () => 'segment'],
      ['returns what is no JSON', () => { const circle = {}; circle.self = circle; return circle; }],
    ]) {
      it(`that ${what} loses no event`, async (t) => {
        const { endpoint, requests } = await serve(t);
        const passId = `pass-enrich-${what}`;
        await install(await load({ endpoint, enrich, timeLimitSeconds: SHORT_LIMIT_S }), passId);
        const [event] = events(requests);
        const plain = ['eventId', 'eventType', 'timestamp', 'passId', 'passType', 'device', 'identifiers'];
        assert.deepEqual(Object.keys(event), plain);
        assert.match(complaintsAbout(passId)[0], /enrich failed/);
        assertNothingSecretIn(complaintsAbout(passId)[0]);
      });
    }
  });

  describe('OAuth', { concurrency: true }, () => {
    it('fetches one token for events that come at once', async (t) => {
      const receiver = await serve(t);
      const { tokens, settings } = await serveGateway(t, receiver.endpoint);
      const hooks = await load(settings);
      await Promise.all(Array.from({ length: 5 }, (_, number) => install(hooks, `pass-oauth-${number}`)));
      await install(hooks, 'pass-oauth-later');
      assert.deepEqual([tokens.requests.length, receiver.requests.length], [1, 6]);
    });

    it('asks for the token as RFC 6749 says', async (t) => {
      const receiver = await serve(t);
      const { tokens, settings } = await serveGateway(t, receiver.endpoint);
      await install(await load(settings), 'pass-rfc');
      const [{ method, url, headers, body }] = tokens.requests;
      assert.deepEqual([method, url], ['POST', '/oauth/token']);
      assert.equal(atob(headers.authorization.replace('Basic ', '')), 'wallet%20pipeline:s3cret%3A%2F%2B');
      assert.match(headers['content-type'], /^application\/x-www-form-urlencoded/);
      assert.equal(body, 'grant_type=client_credentials&scope=wallet-events');
    });

    it('renews a token that is no longer accepted, once for all events', async (t) => {
      const receiver = await serve(t);
      let revoked = '';
      const accepts = (token) => token !== revoked;
      const { tokens, proxy, settings } = await serveGateway(t, receiver.endpoint, { accepts });
      const hooks = await load({ ...settings, attempts: 1 });
      await install(hooks, 'pass-before');
      revoked = 'token-1';
      await Promise.all(['pass-after-1', 'pass-after-2', 'pass-after-3'].map((passId) => install(hooks, passId)));
      assert.deepEqual([tokens.requests.length, receiver.requests.length, proxy.requests.length], [2, 4, 7]);
    });

    it('keeps the new token when the old one is refused late', async (t) => {
      const receiver = await serve(t);
      let renewed;
      const accepted = new Promise((resolve) => { renewed = resolve; });
      let refusals = 0;
      const accepts = async (token) => {
        if (token !== 'token-1') {
          renewed();
          return true;
        }
        refusals += 1;
        if (refusals === 2) await accepted;
        return false;
      };
      const { tokens, settings } = await serveGateway(t, receiver.endpoint, { accepts });
      const hooks = await load(settings);
      await Promise.all([install(hooks, 'pass-early'), install(hooks, 'pass-late')]);
      assert.deepEqual([tokens.requests.length, receiver.requests.length], [2, 2]);
    });

    it('gives up when the new token is not accepted either', async (t) => {
      const receiver = await serve(t);
      const { tokens, settings } = await serveGateway(t, receiver.endpoint, { accepts: () => false });
      await install(await load(settings), 'pass-never-accepted');
      assert.deepEqual([tokens.requests.length, receiver.requests.length], [2, 0]);
      assert.match(complaintsAbout('pass-never-accepted')[0], /status 401 of the receiver/);
      assert.ok(!complaintsAbout('pass-never-accepted')[0].includes('token-'));
    });

    it('fetches a token before the old one expires', async (t) => {
      const receiver = await serve(t);
      const { tokens, settings } = await serveGateway(t, receiver.endpoint, { lifetime: 16 });
      const hooks = await load(settings);
      await install(hooks, 'pass-fresh');
      await install(hooks, 'pass-still-fresh');
      assert.equal(tokens.requests.length, 1);
      await new Promise((resolve) => { setTimeout(resolve, 8100); });
      await install(hooks, 'pass-soon-expired');
      assert.equal(tokens.requests.length, 2);
    });

    it('asks again when the token endpoint is busy', async (t) => {
      const { endpoint, requests } = await serve(t);
      const grant = answerWith(200, {}, JSON.stringify({ access_token: 'token', expires_in: 60 }));
      const tokens = await serve(t, 503, grant);
      await install(await load({ endpoint, oauth: oauthAt(tokens.endpoint) }), 'pass-busy');
      assert.deepEqual([tokens.requests.length, requests.length], [2, 1]);
    });

    for (const [what, answer, told] of [
      ['refuses the client', answerWith(401, {}, '{"error":"invalid_client"}'), /status 401 of the token endpoint/],
      ['gives no token', answerWith(200, {}, '{}'), /the token endpoint gave no access_token/],
    ]) {
      it(`tells when the token endpoint ${what}`, async (t) => {
        const { endpoint, requests } = await serve(t);
        const tokens = await serve(t, answer);
        const passId = `pass-endpoint-${what}`;
        await install(await load({ endpoint, oauth: oauthAt(tokens.endpoint) }), passId);
        assert.deepEqual([tokens.requests.length, requests.length], [1, 0]);
        assert.match(complaintsAbout(passId)[0], told);
        assertNothingSecretIn(complaintsAbout(passId)[0]);
      });
    }
  });

  describe('the receiver', { concurrency: true, skip: !process.env.RECEIVER_URL }, () => {
    const receiver = process.env.RECEIVER_URL;

    it('takes events with its key', async () => {
      const hooks = await load({ endpoint: receiver });
      await install(hooks, 'pass-real', { registrationInformation: STATISTICS, registrationSource: SOURCE });
      await hooks.OnPassUninstalled('pass-real', 'loyalty', IDENTIFIERS, 'google', { activeRegistrationCount: 0 });
      assert.deepEqual(complaintsAbout('pass-real'), []);
    });

    it('takes events through an OAuth gateway', async (t) => {
      const { proxy, settings } = await serveGateway(t, receiver);
      await install(await load(settings), 'pass-oauth-real');
      assert.deepEqual([proxy.requests.length, complaintsAbout('pass-oauth-real')], [1, []]);
    });

    it('refuses another key', async () => {
      secrets.set('wrong', 'another-key-of-the-tests');
      await install(await load({ endpoint: receiver, keySecret: 'wrong' }), 'pass-wrong-key');
      assert.match(complaintsAbout('pass-wrong-key')[0], /status 401 of the receiver/);
    });
  });
});
