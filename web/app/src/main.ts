import { createLocalMedia, join } from '@althing/core'
import { start } from './start.ts'

start({ createLocalMedia, join })
