interface Summary {
  begin: number
  end: number
  max: number
  growth: number
  allowed: number
  growthPerUnit: number
}

export function judgeFlat(
  name: string,
  samples: { at: number; value: number }[],
  allowed: number,
): { summary: Summary; violation: string | undefined }
