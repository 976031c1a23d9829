/**
 * Tells wallet_pipeline's receiver of each pass that is installed in Apple Wallet or Google Wallet, or removed from it.
 *
 * It goes into the tenant's folder server/scripts at The Wallet Crew; docs/connector.md says how. Edit `config` alone.
 * It needs no package: what Node 18 has, and the tenant's own module neo/secrets.
 */
import { getSecret } from 'neo/secrets';

export const config = {
  // Where the receiver answers from outside; /connector is added to it.
  endpoint: 'https://wallet-events.example.com',
  // Name of the tenant's secret that holds the receiver's CONNECTOR_KEY.
  keySecret: 'walletPipelineConnectorKey',
  // Instead of the key, for a gateway before the receiver: OAuth client credentials, as
  // { tokenUrl: 'https://…', clientIdSecret: 'secret name', clientSecretSecret: 'secret name', scope: '…' }
  oauth: null,
  // Tries per event, the first one included, and the time that one try may take.
  attempts: 6,
  timeLimitSeconds: 10,
  // The longest pause between two tries, whatever Retry-After asks for.
  longestPauseSeconds: 30,
  // Tries of all events together; what comes faster waits its turn.
  maxRequestsPerSecond: 20,
  // (event) => endpoint, or null for an event that shall not be sent. May be async.
  route: null,
  // (event) => an object of fields to be sent besides; none replaces a field of the event. May be async.
  enrich: null,
};

const NAME = 'wallet_pipeline connector';

export default function register(context) {
  const deliver = createDelivery(config);
  context.register('runtime.wallet.passUpdater', {
    OnPassInstalled: createHook('Pass:Installed', deliver),
    OnPassUninstalled: createHook('Pass:Uninstalled', deliver),
  });
}

/** Return a hook that resolves once its event was delivered or given up; it never rejects. */
function createHook(eventType, deliver) {
  return async (passId, passType, identifiers, device, additionalInformation) => {
    const timestamp = new Date().toISOString();
    let eventId;
    try {
      eventId = await newId();
      const counts = statistics(additionalInformation);
      await deliver({ eventId, eventType, timestamp, passId, passType, device, identifiers, ...counts });
    } catch (error) {
      // Names only: a message may quote a key or an identifier.
      const reason = error instanceof DeliveryError ? error.message : nameOf(error);
      console.error(`${NAME}: ${eventType} was not delivered: pass ${passId}, event ${eventId}: ${reason}`);
    }
  };
}

async function newId() {
  // Node 18 has no global crypto.
  const crypto = globalThis.crypto ?? (await import('node:crypto'));
  return crypto.randomUUID();
}

/** Return what is known of the registrations; absent fields stay undefined, and JSON leaves them out. */
function statistics(additionalInformation) {
  // The vendor does not say whether they hang at the top or one level below.
  const places = [additionalInformation, ...Object.values(additionalInformation ?? {})];
  const find = (name, isOne) => places.map((place) => place?.[name]).find(isOne);
  const isCount = (value) => Number.isInteger(value) && value >= 0;
  return {
    activeRegistrationCount: find('activeRegistrationCount', isCount),
    totalRegistrationCount: find('totalRegistrationCount', isCount),
    registrationSource: find('registrationSource', (value) => (value ?? null) !== null),
  };
}

/** Return a function that delivers an event, tried several times; it throws when that failed. */
function createDelivery(settings) {
  const send = createSender(settings);
  return async (event) => {
    const address = await chooseAddress(settings, event);
    if (address === null) return;
    const body = await writeBody(settings, event);
    for (let attempt = 1; ; attempt += 1) {
      try {
        await send(address, body);
        return;
      } catch (error) {
        if (error.final || attempt >= settings.attempts) throw error;
        await sleep(pause(settings, attempt, error.retryAfterSeconds ?? 0));
      }
    }
  };
}

/** Return the address for an event, or null when the route says so; a route that fails is not followed. */
async function chooseAddress(settings, event) {
  const address = (endpoint) => new URL(`${endpoint.replace(/\/+$/, '')}/connector`).href;
  const routed = async () => {
    const endpoint = await settings.route({ ...event });
    return endpoint === null ? null : address(endpoint);
  };
  const usual = () => address(settings.endpoint);
  return settings.route ? guarded('route', settings, event, routed, usual) : usual();
}

/** Return the event as JSON, with the extra fields if there are any; an enrichment that fails is left out. */
async function writeBody(settings, event) {
  const enriched = async () => toJson({ ...fields(await settings.enrich({ ...event })), ...event });
  const plain = () => toJson(event);
  return settings.enrich ? guarded('enrich', settings, event, enriched, plain) : plain();
}

function fields(value) {
  if (typeof value !== 'object') throw new TypeError('no object');
  return value;
}

function toJson(value) {
  return JSON.stringify(value, (_, member) => (typeof member === 'bigint' ? String(member) : member));
}

/** Return what a hook of the configuration leads to, or `otherwise()` when it fails or takes longer than a try may. */
async function guarded(hook, settings, event, attempt, otherwise) {
  let timer;
  const tooLong = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new DeliveryError('took too long')), settings.timeLimitSeconds * 1000);
  });
  try {
    return await Promise.race([attempt(), tooLong]);
  } catch (error) {
    const reason = error instanceof DeliveryError ? error.message : nameOf(error);
    console.error(`${NAME}: ${hook} failed (${reason}): pass ${event.passId}, event ${event.eventId} goes without it`);
    return otherwise();
  } finally {
    clearTimeout(timer);
  }
}

/** Return a function that makes one try; it throws a DeliveryError, or what fetch throws when there was no answer. */
function createSender(settings) {
  const credentials = settings.oauth ? createTokens(settings) : createKey(settings);
  const turn = createTurns(settings.maxRequestsPerSecond);
  const post = async (address, body, credential) => {
    await turn();
    const headers = { Authorization: `Bearer ${credential.value}`, 'Content-Type': 'application/json' };
    const response = await request(settings, address, headers, body);
    // The status is the answer; the rest is read so that the connection can be used again.
    await response.arrayBuffer().catch(() => {});
    return response;
  };
  return async (address, body) => {
    const credential = await credentials.get();
    let response = await post(address, body, credential);
    if (response.status === 401 && credentials.forget) {
      credentials.forget(credential);
      response = await post(address, body, await credentials.get());
    }
    if (!response.ok) throw refusal('the receiver', response);
  };
}

function createKey(settings) {
  return { get: async () => ({ value: await readSecret(settings.keySecret) }) };
}

/** Return access tokens: one is fetched for all who ask at once, and kept until shortly before it expires. */
function createTokens(settings) {
  let token = null;
  let fetching = null;
  const fetchOnce = async () => {
    token = await fetchToken(settings);
    return token;
  };
  return {
    get: async () => {
      if (token && performance.now() < token.renewAt) return token;
      fetching ??= fetchOnce().finally(() => {
        fetching = null;
      });
      return fetching;
    },
    // Only the token that was refused: another event may have renewed it meanwhile.
    forget: (refused) => {
      if (token === refused) token = null;
    },
  };
}

async function fetchToken(settings) {
  const { tokenUrl, clientIdSecret, clientSecretSecret, scope } = settings.oauth;
  const [id, secret] = await Promise.all([readSecret(clientIdSecret), readSecret(clientSecretSecret)]);
  // RFC 6749, 2.3.1: both are encoded before they are joined.
  const headers = { Authorization: `Basic ${btoa(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`)}` };
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...(scope && { scope }) });
  const asked = performance.now();
  const response = await request(settings, tokenUrl, headers, form);
  if (!response.ok) throw refusal('the token endpoint', response);
  const { access_token: value, expires_in: lifetime = 300 } = await response.json();
  if (!value) throw new DeliveryError('the token endpoint gave no access_token', { final: true });
  return { value, renewAt: asked + 1000 * Math.max(lifetime - 60, lifetime / 2) };
}

/** Send a POST. Redirects are not followed: the key belongs to the address that was configured. */
function request(settings, address, headers, body) {
  const signal = AbortSignal.timeout(settings.timeLimitSeconds * 1000);
  return fetch(address, { method: 'POST', redirect: 'manual', headers, body, signal });
}

async function readSecret(name) {
  const read = async () => getSecret(name);
  const value = await read().catch((error) => {
    throw new DeliveryError(`the secret ${name} cannot be read (${nameOf(error)})`);
  });
  if (!value) throw new DeliveryError(`the tenant has no secret ${name}`, { final: true });
  return value.trim();
}

/** Return a function that resolves when it is the caller's turn. */
function createTurns(perSecond) {
  let next = 0;
  return () => {
    const mine = Math.max(next, performance.now());
    next = mine + 1000 / perSecond;
    return sleep(mine - performance.now());
  };
}

function refusal(who, response) {
  const temporary = [408, 429].includes(response.status) || response.status >= 500;
  const retryAfterSeconds = secondsUntil(response.headers.get('Retry-After'));
  return new DeliveryError(`status ${response.status} of ${who}`, { final: !temporary, retryAfterSeconds });
}

/** Return the seconds that a Retry-After asks for, which is a number or a date. */
function secondsUntil(retryAfter) {
  const seconds = /^\d+$/.test(retryAfter ?? '') ? Number(retryAfter) : (Date.parse(retryAfter) - Date.now()) / 1000;
  return seconds > 0 ? seconds : 0;
}

/** Return the milliseconds to wait after a try: 1, 2, 4 … seconds less some jitter, or longer when asked to. */
function pause(settings, attempt, retryAfterSeconds) {
  const backoff = 2 ** (attempt - 1) * (1 - Math.random() / 2);
  return 1000 * Math.min(settings.longestPauseSeconds, Math.max(backoff, retryAfterSeconds));
}

function sleep(milliseconds) {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}

/** Return what an error is called, without what it says. */
function nameOf(error) {
  return [error?.cause?.code, error?.code, error?.name].find((name) => typeof name === 'string') ?? 'unknown error';
}

/** A delivery failed; the message names no key and no identifier. `final`: trying again cannot help. */
class DeliveryError extends Error {
  constructor(message, { final = false, retryAfterSeconds = 0 } = {}) {
    super(message);
    this.final = final;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}
