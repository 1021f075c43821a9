/** Drawn people who breathe and nod, so that a meeting can be looked at without cameras. */
const SKINS = ['#f0c8a8', '#d9a07a', '#a8714c', '#7a4b30', '#e8b794', '#c58c63', '#5e3a26']
const HAIRS = ['#2a1d17', '#5a3a22', '#1b1b22', '#8a5a2b', '#3b3b44', '#b5803f', '#6d2f23']
const SHIRTS = ['#34507e', '#6d3b57', '#2f6b5a', '#8a6a2f', '#4a4f63', '#8c4436', '#3f6f8c', '#5b5390']
const ROOMS = [
  ['#d9cdbd', '#a99a86'],
  ['#b9c8d3', '#8396a6'],
  ['#c9d3c2', '#8fa08a'],
  ['#3a3f52', '#22252f'],
  ['#e2d3cb', '#b79a90'],
  ['#bfc0d6', '#8d8fb0'],
  ['#4c3f3a', '#2d2623']
]

export function portraitTrack(seed: number, width = 640, height = 360): MediaStreamTrack {
  const canvas = document.createElement('canvas')
  canvas.width = width
  canvas.height = height
  const pen = canvas.getContext('2d')!
  let frame = 0
  const draw = () => portrait(pen, seed, frame++)
  draw()
  setInterval(draw, 80)
  return canvas.captureStream(12).getVideoTracks()[0]!
}

function pick<T>(list: readonly T[], seed: number, step: number): T {
  return list[(seed * step + step) % list.length]!
}

function portrait(pen: CanvasRenderingContext2D, seed: number, frame: number): void {
  const { width, height } = pen.canvas
  const [light, dark] = pick(ROOMS, seed, 3) as [string, string]
  const wall = pen.createLinearGradient(0, 0, width, height)
  wall.addColorStop(0, light)
  wall.addColorStop(1, dark)
  pen.fillStyle = wall
  pen.fillRect(0, 0, width, height)
  furniture(pen, seed)
  pen.save()
  const sway = Math.sin(frame / 14 + seed) * 0.012 * width
  const nod = Math.sin(frame / 9 + seed * 2) * 0.008 * height
  pen.translate(width * (0.5 + ((seed % 3) - 1) * 0.03) + sway, height * 0.56 + nod)
  person(pen, seed, height / 360, frame)
  pen.restore()
}

function furniture(pen: CanvasRenderingContext2D, seed: number): void {
  const { width, height } = pen.canvas
  pen.save()
  pen.filter = `blur(${height / 60}px)`
  pen.fillStyle = 'rgb(255 255 255 / 22%)'
  if (seed % 2) pen.fillRect(width * 0.06, height * 0.08, width * 0.24, height * 0.5)
  else pen.fillRect(width * 0.7, height * 0.1, width * 0.24, height * 0.42)
  pen.fillStyle = 'rgb(0 0 0 / 18%)'
  pen.fillRect(seed % 2 ? width * 0.68 : 0, height * 0.46, width * 0.34, height * 0.03)
  for (let book = 0; book < 6; book++) {
    pen.fillStyle = pick(SHIRTS, seed + book, 5)
    pen.fillRect((seed % 2 ? 0.7 : 0.03) * width + book * width * 0.035, height * 0.3, width * 0.024, height * 0.16)
  }
  pen.fillStyle = 'rgb(60 110 70 / 70%)'
  for (let leaf = 0; leaf < 5; leaf++) {
    pen.beginPath()
    const x = width * (seed % 2 ? 0.1 : 0.9) + Math.cos(leaf * 1.3) * width * 0.04
    pen.ellipse(x, height * 0.78 - leaf * height * 0.04, width * 0.02, height * 0.09, leaf, 0, 7)
    pen.fill()
  }
  pen.restore()
}

function person(pen: CanvasRenderingContext2D, seed: number, size: number, frame: number): void {
  const skin = pick(SKINS, seed, 2)
  const hair = pick(HAIRS, seed, 5)
  pen.scale(size, size)
  pen.fillStyle = pick(SHIRTS, seed, 3)
  pen.beginPath()
  pen.moveTo(-150, 200)
  pen.bezierCurveTo(-150, 90, -80, 82, -34, 72)
  pen.lineTo(34, 72)
  pen.bezierCurveTo(80, 82, 150, 90, 150, 200)
  pen.fill()
  if (seed % 3 === 1) {
    pen.fillStyle = hair
    pen.beginPath()
    pen.roundRect(-70, -70, 140, 160, 60)
    pen.fill()
  }
  pen.fillStyle = skin
  pen.filter = 'brightness(0.86)'
  pen.beginPath()
  pen.roundRect(-24, 30, 48, 62, 22)
  pen.fill()
  pen.filter = 'none'
  pen.beginPath()
  pen.ellipse(0, -12, 56, 70, 0, 0, 7)
  pen.fill()
  pen.fillStyle = hair
  pen.beginPath()
  pen.ellipse(0, -40, 60, 48, 0, Math.PI, 0)
  pen.bezierCurveTo(52, -58, 10, -66, -10, -52)
  pen.bezierCurveTo(-30, -44, -56, -46, -60, -40)
  pen.fill()
  face(pen, seed, frame)
}

function face(pen: CanvasRenderingContext2D, seed: number, frame: number): void {
  const blink = (frame + seed * 17) % 60 < 2 ? 0.15 : 1
  pen.fillStyle = '#20181a'
  for (const side of [-1, 1]) {
    pen.beginPath()
    pen.ellipse(side * 21, -12, 4.6, 5.4 * blink, 0, 0, 7)
    pen.fill()
  }
  pen.strokeStyle = 'rgb(40 22 18 / 60%)'
  pen.lineWidth = 3.4
  pen.lineCap = 'round'
  for (const side of [-1, 1]) {
    pen.beginPath()
    pen.moveTo(side * 12, -28)
    pen.quadraticCurveTo(side * 22, -33, side * 31, -27)
    pen.stroke()
  }
  pen.beginPath()
  pen.moveTo(-2, -4)
  pen.quadraticCurveTo(-7, 10, 2, 12)
  pen.stroke()
  pen.strokeStyle = '#8c3b3b'
  pen.beginPath()
  const smile = 5 + 3 * Math.sin(frame / 7 + seed)
  pen.moveTo(-16, 28)
  pen.quadraticCurveTo(0, 28 + smile * 1.6, 16, 28)
  pen.stroke()
  if (seed % 4 === 2) {
    pen.strokeStyle = 'rgb(25 25 30 / 85%)'
    pen.lineWidth = 3
    for (const side of [-1, 1]) {
      pen.beginPath()
      pen.roundRect(side * 21 - 15, -25, 30, 25, 9)
      pen.stroke()
    }
    pen.beginPath()
    pen.moveTo(-6, -14)
    pen.lineTo(6, -14)
    pen.stroke()
  }
}

export function slideTrack(): MediaStreamTrack {
  const canvas = document.createElement('canvas')
  canvas.width = 1600
  canvas.height = 1000
  const pen = canvas.getContext('2d')!
  let frame = 0
  const draw = () => slide(pen, frame++)
  draw()
  setInterval(draw, 200)
  return canvas.captureStream(5).getVideoTracks()[0]!
}

function slide(pen: CanvasRenderingContext2D, frame: number): void {
  pen.fillStyle = '#fbfaf7'
  pen.fillRect(0, 0, 1600, 1000)
  pen.fillStyle = '#1d2430'
  pen.font = '600 64px system-ui, sans-serif'
  pen.fillText('Spring release', 110, 160)
  pen.fillStyle = '#5f6b7a'
  pen.font = '34px system-ui, sans-serif'
  pen.fillText('What changed since February', 110, 220)
  const bars = [0.35, 0.42, 0.4, 0.56, 0.61, 0.78, 0.92]
  for (const [index, value] of bars.entries()) {
    pen.fillStyle = index === bars.length - 1 ? '#2458d3' : '#b9c8ea'
    const tall = 520 * value * (index === bars.length - 1 ? 1 + 0.01 * Math.sin(frame / 3) : 1)
    pen.beginPath()
    pen.roundRect(120 + index * 200, 860 - tall, 130, tall, 14)
    pen.fill()
  }
  pen.fillStyle = '#d3dae3'
  pen.fillRect(110, 866, 1380, 3)
}
