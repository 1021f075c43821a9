// Drives a stock lib-jitsi-meet in a page: `interop.join(room, name, options)`, then read `interop.state`.
// Plain script, because it runs beside the library as a page would use it.
'use strict';

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
  },

  async join(room, name, options = {}) {
    const state = this.state;
    const { events } = JitsiMeetJS;
    JitsiMeetJS.setLogLevel(JitsiMeetJS.logLevels.WARN);
    JitsiMeetJS.init({ disableAudioLevels: false, ...options.init });
    const settings = { ...config, ...options.config, flags: { ...config.flags, ...(options.flags ?? {}) } };
    // What the app around the library does with its configuration.
    settings.serviceUrl = `${settings.websocket}?room=${encodeURIComponent(room)}`;

    const connection = new JitsiMeetJS.JitsiConnection(null, null, settings);
    this.connection = connection;
    await new Promise((resolve, reject) => {
      connection.addEventListener(events.connection.CONNECTION_ESTABLISHED, resolve);
      connection.addEventListener(events.connection.CONNECTION_FAILED, (error, message) => {
        state.connectionFailure = `${error} ${message ?? ''}`;
        reject(new Error(state.connectionFailure));
      });
      connection.connect({ name: room });
    });

    const conference = connection.initJitsiConference(room, settings);
    this.conference = conference;
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
    });
    on('TRACK_REMOVED', (track) => {
      state.remoteTracks = state.remoteTracks.filter((t) => t.name !== track.getSourceName());
    });
    on('TRACK_MUTE_CHANGED', (track) => {
      if (!track.isLocal()) state.muted[track.getSourceName()] = track.isMuted();
    });
    on('MESSAGE_RECEIVED', (id, text) => state.messages.push({ id, text }));
    on('DOMINANT_SPEAKER_CHANGED', (id) => (state.dominant = id));
    on('DATA_CHANNEL_OPENED', () => (state.channelOpen = true));

    conference.setDisplayName(name);
    const devices = options.devices ?? ['audio', 'video'];
    this.local = devices.length ? await JitsiMeetJS.createLocalTracks({ devices, resolution: 360 }) : [];
    for (const track of this.local) await conference.addTrack(track);
    conference.join();
    conference.setReceiverConstraints({ lastN: -1, defaultConstraints: { maxHeight: 360 }, constraints: {} });
  },

  track(type) {
    return this.local.find((track) => track.getType() === type);
  },

  async leave() {
    await this.conference.leave();
    await this.connection.disconnect();
  },
};
