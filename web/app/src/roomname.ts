/** Names for new rooms: three words to say aloud and nine letters that nobody guesses, 63 bits. */
const KINDS =
  'amber aqua bold brave brief bright brisk calm clear clever cosy crisp deep early easy even fair fast fine fond free fresh gentle glad gold grand green happy honest keen kind late light lively loud lucky mild neat new nice noble old open pale plain proud pure quick quiet rare ready red rich round royal sharp silver slow smart soft solid sunny swift warm'
const ANIMALS =
  'ant bat bear beaver bee bird bison boar camel cat cod crab crane crow deer dog dove duck eagle eel elk falcon finch fish fox frog goat goose gull hare hawk hen heron horse ibis jay kite lamb lark lion lynx mole moose moth mouse newt otter owl panda pony puffin ram raven robin seal shark sheep snail stork swan tern tiger toad trout'
const VERBS =
  'asks bakes bends bows builds calls carries chats claps climbs cooks counts dances digs draws dreams drifts drives finds flies gives glides grows hears helps hides holds hops hums jumps keeps knits knows laughs leads learns leaps listens looks makes marks meets mends naps nods paints plans plays reads rests rides rings rows runs sails sees sews shares shines sings sits skates skips sleeps'
// Crockford's thirty-two: no i, l, o or u, which look alike or spell words.
const LETTERS = '0123456789abcdefghjkmnpqrstvwxyz'

const lists = [KINDS, ANIMALS, VERBS].map(words => words.split(' '))
const LETTER_COUNT = 9

/** `random` fills an array, as `crypto.getRandomValues` does. */
export function newRoomName(random: (into: Uint8Array<ArrayBuffer>) => unknown): string {
  const bytes = new Uint8Array(lists.length + LETTER_COUNT)
  random(bytes)
  const words = lists.map((list, index) => list[bytes[index]! % list.length]!)
  const letters = Array.from(bytes.subarray(lists.length), byte => LETTERS[byte % LETTERS.length])
  return [...words, letters.join('')].join('-')
}

/** Bits of chance in a name. */
export const ROOM_NAME_BITS =
  lists.reduce((sum, list) => sum + Math.log2(new Set(list).size), 0) + LETTER_COUNT * Math.log2(new Set(LETTERS).size)
