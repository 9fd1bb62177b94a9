package main

import (
	"slices"
	"time"
)

// sample is one measurement of a client.
type sample struct {
	wall, request, cpu time.Duration // request is what the client itself took note of
	memoryMB           float64
	bytes              int64
}

// figures are what the runs of a client came to: the least, the median and the most
// of each figure by itself.
type figures struct {
	min, median, max sample
	samples          []sample // in the order of the turns
}

// ratio is how many times as much one client takes as another: if they took turns, the
// median of the turns' ratios, so that what the computer did meanwhile affects both.
func ratio(one, other figures, of, ofOther func(sample) time.Duration) float64 {
	if len(one.samples) != len(other.samples) {
		return float64(of(one.median)) / float64(ofOther(other.median))
	}
	ratios := make([]float64, len(one.samples))
	for i := range ratios {
		ratios[i] = float64(of(one.samples[i])) / float64(ofOther(other.samples[i]))
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

func wall(s sample) time.Duration { return s.wall }

func request(s sample) time.Duration { return s.request }

func summarize(samples []sample) figures {
	pick := func(at func(n int) int) sample {
		value := func(of func(sample) float64) float64 {
			values := make([]float64, len(samples))
			for i, s := range samples {
				values[i] = of(s)
			}
			slices.Sort(values)
			return values[at(len(values))]
		}
		return sample{
			wall:     time.Duration(value(func(s sample) float64 { return float64(s.wall) })),
			request:  time.Duration(value(func(s sample) float64 { return float64(s.request) })),
			cpu:      time.Duration(value(func(s sample) float64 { return float64(s.cpu) })),
			memoryMB: value(func(s sample) float64 { return s.memoryMB }),
			bytes:    samples[len(samples)-1].bytes,
		}
	}
	return figures{
		min:     pick(func(int) int { return 0 }),
		median:  pick(func(n int) int { return n / 2 }),
		max:     pick(func(n int) int { return n - 1 }),
		samples: samples,
	}
}

// turnAbout measures ways in turn, so that what else the computer does affects all
// alike. The first turn does not count.
func turnAbout(measured clients, ways map[string]func() (sample, error), runs int) error {
	samples := map[string][]sample{}
	for turn := range runs + 1 {
		for name, way := range ways {
			s, err := way()
			if err != nil {
				return err
			}
			if turn > 0 {
				samples[name] = append(samples[name], s)
			}
		}
	}
	for name, s := range samples {
		measured[name] = summarize(s)
	}
	return nil
}
