// Drives a stock lib-jitsi-meet in a page: `interop.join(room, name, options)`, then read `interop.state`.
// Plain script, because it runs beside the library as a page would use it.
'use strict';

/** Events that come all the time and tell nothing about the room. */
const NOISE = new Set([
  'TRACK_AUDIO_LEVEL_CHANGED',
  'BRIDGE_BWE_STATS_RECEIVED',
  'ENDPOINT_STATS_RECEIVED',
  'ENCODE_TIME_STATS_RECEIVED',
  'INBOUND_VIDEO_STATS_RECEIVED',
  'FORWARDED_SOURCES_CHANGED',
  'LAST_N_ENDPOINTS_CHANGED',
]);

/** What an argument of an event says, without the object that says it. */
function plain(value) {
  if (typeof value === 'function') return undefined;
  if (value === null || typeof value !== 'object') return value;
  if (value.getParticipantId) {
    return { owner: value.getParticipantId(), type: value.getType(), muted: value.isMuted(), local: value.isLocal() };
  }
  if (value.getId) return { id: value.getId() };
  if (value instanceof Set || Array.isArray(value)) return [...value].map(plain);
  if (Object.getPrototypeOf(value) !== Object.prototype) return String(value);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

window.interop = {
  state: {
    joined: false,
    failure: null,
    connectionFailure: null,
    id: null,
    participants: {},
    remoteTracks: [],
    messages: [],
    muted: {},
    left: [],
    dominant: null,
    channelOpen: false,
    role: null,
    errors: [],
    // Every event of the library, in order, under the name of its room.
    events: [],
  },

  /** Remote tracks, and the elements that show them. */
  remote: [],

  /** Notes down all that an emitter of the library says. */
  record(room, kinds, add) {
    for (const [name, event] of Object.entries(kinds)) {
      if (!NOISE.has(name)) add(event, (...args) => this.state.events.push({ room, name, args: args.map(plain) }));
    }
  },

  async join(room, name, options = {}) {
    await this.connect(room, options);
    const devices = options.devices ?? ['audio', 'video'];
    this.local = devices.length ? await JitsiMeetJS.createLocalTracks({ devices, resolution: options.resolution ?? 360 }) : [];
    await this.enter(room, name);
  },

  async connect(room, options) {
    const state = this.state;
    const { events } = JitsiMeetJS;
    JitsiMeetJS.setLogLevel(JitsiMeetJS.logLevels.WARN);
    JitsiMeetJS.init({ disableAudioLevels: false, ...options.init });
    const settings = (this.settings = { ...config, ...options.config, flags: { ...config.flags, ...(options.flags ?? {}) } });
    // What the app around the library does with its configuration.
    settings.serviceUrl = `${settings.websocket}?room=${encodeURIComponent(room)}`;

    const connection = new JitsiMeetJS.JitsiConnection(null, null, settings);
    this.connection = connection;
    this.record('', events.connection, (event, handler) => connection.addEventListener(event, handler));
    await new Promise((resolve, reject) => {
      connection.addEventListener(events.connection.CONNECTION_ESTABLISHED, resolve);
      connection.addEventListener(events.connection.CONNECTION_FAILED, (error, message) => {
        state.connectionFailure = `${error} ${message ?? ''}`;
        reject(new Error(state.connectionFailure));
      });
      connection.connect({ name: room });
    });
  },

  /** Joins a room over the connection there is; `domain` is that of a breakout room. */
  async enter(room, name, domain) {
    const state = this.state;
    const { events } = JitsiMeetJS;
    const called = domain ? Object.assign(new String(room), { domain }) : room;
    const conference = this.connection.initJitsiConference(called, this.settings);
    this.conference = conference;
    this.record(room, events.conference, (event, handler) => conference.on(event, handler));
    const on = (event, handler) => conference.on(events.conference[event], handler);
    on('CONFERENCE_JOINED', () => {
      state.joined = true;
      state.id = conference.myUserId();
    });
    on('CONFERENCE_FAILED', (error) => (state.failure = String(error)));
    on('CONFERENCE_ERROR', (error) => state.errors.push(String(error)));
    on('USER_JOINED', (id, user) => (state.participants[id] = user.getDisplayName()));
    on('USER_LEFT', (id) => {
      delete state.participants[id];
      state.left.push(id);
    });
    on('DISPLAY_NAME_CHANGED', (id, displayName) => (state.participants[id] = displayName));
    on('USER_ROLE_CHANGED', (id, role) => {
      if (id === conference.myUserId()) state.role = role;
    });
    on('TRACK_ADDED', (track) => {
      if (track.isLocal()) return;
      state.remoteTracks.push({ owner: track.getParticipantId(), type: track.getType(), name: track.getSourceName() });
      const element = document.createElement(track.getType() === 'video' ? 'video' : 'audio');
      element.autoplay = true;
      element.playsInline = true;
      document.body.append(element);
      track.attach(element);
      this.remote.push({ track, element });
    });
    on('TRACK_REMOVED', (track) => {
      state.remoteTracks = state.remoteTracks.filter((t) => t.name !== track.getSourceName());
      this.remote = this.remote.filter((one) => one.track !== track);
    });
    on('TRACK_MUTE_CHANGED', (track) => {
      if (!track.isLocal()) state.muted[track.getSourceName()] = track.isMuted();
    });
    on('MESSAGE_RECEIVED', (id, text) => state.messages.push({ id, text }));
    on('DOMINANT_SPEAKER_CHANGED', (id) => (state.dominant = id));
    on('DATA_CHANNEL_OPENED', () => (state.channelOpen = true));

    conference.setDisplayName(name);
    for (const track of this.local) await conference.addTrack(track);
    conference.join();
    conference.setReceiverConstraints({ lastN: -1, defaultConstraints: { maxHeight: 360 }, constraints: {} });
  },

  /** The height in which each source is shown just now; a slot may have been given to another since. */
  heights() {
    const videos = this.remote.filter(({ track }) => track.getType() === 'video');
    return Object.fromEntries(videos.map(({ track, element }) => [track.getSourceName(), element.videoHeight]));
  },

  track(type) {
    return this.local.find((track) => track.getType() === type);
  },

  async leave() {
    await this.conference.leave();
    await this.connection.disconnect();
  },
};
