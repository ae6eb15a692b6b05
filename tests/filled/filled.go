// Package filled makes values with something in every member, for tests of what writes
// and reads them: a member that is forgotten shows.
package filled

import "reflect"

// Fill sets everything that a value can hold, strings to text. It panics at what has no
// form in JSON, as functions.
func Fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		Fill(v.Elem(), text)
	case reflect.Struct:
		for i := range v.NumField() {
			Fill(v.Field(i), text)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		Fill(v.Index(0), text)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		Fill(key, text)
		Fill(value, text)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Interface:
		v.Set(reflect.ValueOf(text))
	default:
		v.Set(reflect.ValueOf(7).Convert(v.Type()))
	}
}
